public import Model
public import Primitives
internal import Wire

/// What a watcher wants to hear of.
public struct WatchOptions: Hashable, Sendable {
  public var key: [UInt8]
  /// Empty: `key` alone; otherwise all keys from `key` to before this one, `[0]` for no end.
  public var rangeEnd: [UInt8]
  /// The first revision wanted; 0: what happens from now on.
  public var startRevision: Int64
  /// Whether events carry the key-value before them.
  public var wantsPrevious = false
  /// Whether the server tells from time to time, without events, how far it has come.
  public var wantsProgress = false
  public var dropsPuts = false
  public var dropsDeletes = false
  /// Whether the server may cut a large response into several. `WatchStream` puts them together again.
  public var allowsFragments = false

  public init(key: [UInt8], rangeEnd: [UInt8] = [], startRevision: Int64 = 0) {
    self.key = key
    self.rangeEnd = rangeEnd
    self.startRevision = startRevision
  }

  /// A WatchRequest that creates this watcher, with the wire's headroom.
  /// - Parameter id: chosen by the client; 0 lets the server choose.
  public func createMessage(id: Int64) -> [UInt8] {
    var writer = ProtoWriter()
    writer.bytes(1, key)
    writer.bytes(2, rangeEnd)
    writer.int64(3, startRevision)
    writer.bool(4, wantsProgress)
    var filters: [UInt8] = []
    if dropsPuts { filters.append(0) }
    if dropsDeletes { filters.append(1) }
    writer.bytes(5, filters)
    writer.bool(6, wantsPrevious)
    writer.int64(7, id)
    writer.bool(8, allowsFragments)
    return framedField(1, writer.bytes)
  }
}

/// A message with one message field, and the wire's headroom.
func framedField(_ field: Int, _ content: [UInt8]) -> [UInt8] {
  var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
  writer.message(field, size: content.count)
  writer.raw(content)
  return writer.bytes
}

/// etcdserverpb.WatchResponse.
public struct WatchResponse: Hashable, Sendable {
  public var header = ResponseHeader()
  public var watchID: Int64 = 0
  public var isCreated = false
  public var isCanceled = false
  /// Of a watcher that was cancelled because it asked for what has been compacted; otherwise 0.
  public var compactRevision: Int64 = 0
  public var cancelReason = ""
  /// Further pieces of this response follow.
  public var isFragment = false
  public var events: [Event] = []

  public init() {}

  public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = ProtoReader(bytes)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): header = try ResponseHeader(decoding: reader.readBuffer())
      case .varint(2): watchID = try reader.readInt64()
      case .varint(3): isCreated = try reader.readBool()
      case .varint(4): isCanceled = try reader.readBool()
      case .varint(5): compactRevision = try reader.readInt64()
      case .length(6): cancelReason = try reader.readString()
      case .varint(7): isFragment = try reader.readBool()
      case .length(11): events.append(try Event(decoding: reader.readBuffer()))
      default: try reader.skip(tag)
      }
    }
  }
}
