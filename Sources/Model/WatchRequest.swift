public import Primitives

/// etcdserverpb.WatchRequest; `.none` is a message without the union, or with one from the future.
public enum WatchRequest: Hashable, Sendable {
  case none
  case create(WatchCreateRequest)
  case cancel(watchID: Int64)
  case progress
}

/// etcdserverpb.WatchCreateRequest.
public struct WatchCreateRequest: Hashable, Sendable {
  public var key: [UInt8] = []
  public var rangeEnd: [UInt8] = []
  public var startRevision: Int64 = 0
  public var progressNotify = false
  /// FilterType NOPUT.
  public var dropsPuts = false
  /// FilterType NODELETE.
  public var dropsDeletes = false
  public var previousKeyValue = false
  public var watchID: Int64 = 0
  public var fragment = false

  public init() {}
  public init(key: [UInt8], rangeEnd: [UInt8] = [], startRevision: Int64 = 0) {
    self.key = key
    self.rangeEnd = rangeEnd
    self.startRevision = startRevision
  }
}

extension WatchRequest: WireMessage {
  public init() { self = .none }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1):
        var request: WatchCreateRequest
        if case .create(let earlier) = self { request = earlier } else { request = WatchCreateRequest() }
        try request.mergeField(&reader)
        self = .create(request)
      case .length(2):
        var request = CancelRequest()
        if case .cancel(let earlier) = self { request.watchID = earlier }
        try request.mergeField(&reader)
        self = .cancel(watchID: request.watchID)
      case .length(3):
        var request = ProgressRequest()
        try request.mergeField(&reader)
        self = .progress
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    switch self {
    case .none: break
    case .create(let request): writer.messageField(1, request)
    case .cancel(let watchID): writer.messageField(2, CancelRequest(watchID: watchID))
    case .progress: writer.messageField(3, ProgressRequest())
    }
  }

  public var encodedSize: Int {
    switch self {
    case .none: 0
    case .create(let request): ProtoSize.messageField(1, request)
    case .cancel(let watchID): ProtoSize.messageField(2, CancelRequest(watchID: watchID))
    case .progress: ProtoSize.messageField(3, ProgressRequest())
    }
  }
}

extension WatchCreateRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): key = try reader.readBytes()
      case .length(2): rangeEnd = try reader.readBytes()
      case .varint(3): startRevision = try reader.readInt64()
      case .varint(4): progressNotify = try reader.readBool()
      case .varint(5): addFilter(try reader.readVarint())
      case .length(5):
        var filters: [UInt64] = []
        try reader.readPackedVarints(into: &filters)
        for filter in filters { addFilter(filter) }
      case .varint(6): previousKeyValue = try reader.readBool()
      case .varint(7): watchID = try reader.readInt64()
      case .varint(8): fragment = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  /// Filters are a set; those of later versions are ignored, as in etcd.
  private mutating func addFilter(_ filter: UInt64) {
    switch Int32(truncatingIfNeeded: filter) {
    case 0: dropsPuts = true
    case 1: dropsDeletes = true
    default: break
    }
  }

  private var filters: [UInt8] { (dropsPuts ? [0] : []) + (dropsDeletes ? [1] : []) }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.bytes(2, rangeEnd)
    writer.int64(3, startRevision)
    writer.bool(4, progressNotify)
    // Packed; the values take a byte each.
    writer.bytes(5, filters)
    writer.bool(6, previousKeyValue)
    writer.int64(7, watchID)
    writer.bool(8, fragment)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.bytes(2, count: rangeEnd.count)
    size += ProtoSize.int64(3, startRevision)
    size += ProtoSize.bool(4, progressNotify)
    size += ProtoSize.bytes(5, count: filters.count)
    size += ProtoSize.bool(6, previousKeyValue)
    size += ProtoSize.int64(7, watchID)
    size += ProtoSize.bool(8, fragment)
    return size
  }
}

/// etcdserverpb.WatchCancelRequest.
private struct CancelRequest: WireMessage {
  var watchID: Int64 = 0

  init() {}
  init(watchID: Int64) { self.watchID = watchID }

  mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): watchID = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  func encode(into writer: inout ProtoWriter) { writer.int64(1, watchID) }
  var encodedSize: Int { ProtoSize.int64(1, watchID) }
}

/// etcdserverpb.WatchProgressRequest, which has no fields.
private struct ProgressRequest: WireMessage {
  init() {}

  mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() { try reader.skip(tag) }
  }

  func encode(into writer: inout ProtoWriter) {}
  var encodedSize: Int { 0 }
}
