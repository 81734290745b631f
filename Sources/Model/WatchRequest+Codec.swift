public import Primitives

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
      case .varint(5): filters.append(try reader.readInt32())
      case .length(5):
        var packed: [UInt64] = []
        try reader.readPackedVarints(into: &packed)
        filters += packed.map { Int32(truncatingIfNeeded: $0) }
      case .varint(6): previousKeyValue = try reader.readBool()
      case .varint(7): watchID = try reader.readInt64()
      case .varint(8): fragment = try reader.readBool()
      default: try reader.skip(tag)
      }
    }
  }

  private var filtersSize: Int {
    filters.reduce(0) { size, filter in size + ProtoSize.varint(UInt64(bitPattern: Int64(filter))) }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bytes(1, key)
    writer.bytes(2, rangeEnd)
    writer.int64(3, startRevision)
    writer.bool(4, progressNotify)
    if !filters.isEmpty {
      writer.message(5, size: filtersSize)
      for filter in filters { writer.varint(UInt64(bitPattern: Int64(filter))) }
    }
    writer.bool(6, previousKeyValue)
    writer.int64(7, watchID)
    writer.bool(8, fragment)
  }

  public var encodedSize: Int {
    var size = ProtoSize.bytes(1, count: key.count)
    size += ProtoSize.bytes(2, count: rangeEnd.count)
    size += ProtoSize.int64(3, startRevision)
    size += ProtoSize.bool(4, progressNotify)
    size += ProtoSize.bytes(5, count: filtersSize)
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
