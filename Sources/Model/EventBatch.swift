public import Primitives

/// The events of contiguous main revisions in order, in one block of bytes that all event loops share: what the
/// store tells watchers, and what it answers to a read of history. Immutable.
///
/// Every event stands in `bytes` as the field `events` (11) of a WatchResponse, without `prev_kv`, so that a response
/// to a watcher is a header, its id, and bytes that are copied as they are. An event is encoded once, whatever the
/// number of watchers.
/// ```
/// bytes of an item
///   event      0x5a, length, [0x08 0x01 for DELETE], 0x12, length, keyValue
///   keyValue   mvccpb.KeyValue; of a DELETE the key and mod_revision only, as etcd sends it
///   key        inside keyValue
/// ```
public final class EventBatch: Sendable {
  /// The number of the field `events` in a WatchResponse.
  public static let field = 11

  public struct Item: Sendable {
    public let mainRevision: Int64
    public let subRevision: Int32
    public let kind: Event.Kind
    /// A put that begins a new life of its key: create_revision equals mod_revision. It has no previous value.
    public let isCreate: Bool
    fileprivate let eventStart, keyValueStart, keyStart, keyEnd, end: UInt32

    /// The encoded `events` field, tag and length included.
    public var event: Range<Int> { Int(eventStart)..<Int(end) }
    public var keyValue: Range<Int> { Int(keyValueStart)..<Int(end) }
    public var key: Range<Int> { Int(keyStart)..<Int(keyEnd) }
  }

  /// Every revision of `firstRevision...lastRevision` was looked at. `lastRevision` may be `firstRevision - 1`: then
  /// the batch says only where the feed stands.
  public let firstRevision, lastRevision: Int64
  /// False: the events were too many to carry; there are no items, and watchers read history over this range.
  public let isComplete: Bool
  /// Ascending by revision.
  public let items: [Item]
  public let bytes: [UInt8]

  fileprivate init(
    first: Int64, last: Int64, isComplete: Bool, items: consuming [Item], bytes: consuming [UInt8]
  ) {
    precondition(first > 0 && last >= first - 1, "a range of revisions")
    firstRevision = first
    lastRevision = last
    self.isComplete = isComplete
    self.items = items
    self.bytes = bytes
    // The ends suffice: the builder keeps the order.
    if let earliest = self.items.first, let latest = self.items.last {
      precondition(
        isComplete && first <= earliest.mainRevision && latest.mainRevision <= last,
        "items lie in their range")
    }
  }

  /// A batch without events: nothing happened in the range, or, if not complete, what happened is not carried.
  public convenience init(first: Int64, last: Int64, isComplete: Bool = true) {
    self.init(first: first, last: last, isComplete: isComplete, items: [], bytes: [])
  }

  /// The `events` field of an item with `prev_kv`, an encoded mvccpb.KeyValue.
  public func encoded(_ item: Item, previous: [UInt8]) -> [UInt8] {
    let keyValue = item.keyValue
    let delete = item.kind == .delete ? ProtoSize.int32(1, item.kind.rawValue) : 0
    let plainSize = delete + ProtoSize.message(2, size: keyValue.count)
    let size = plainSize + ProtoSize.message(3, size: previous.count)
    var writer = ProtoWriter(reserving: ProtoSize.message(EventBatch.field, size: size))
    writer.message(EventBatch.field, size: size)
    unsafe bytes.withUnsafeBytes { all in
      unsafe writer.raw(
        UnsafeRawBufferPointer(rebasing: all[(keyValue.upperBound - plainSize)..<keyValue.upperBound]))
    }
    writer.bytesField(3, previous)
    return writer.bytes
  }

  /// Bytes of memory, about.
  public var footprintBytes: Int { bytes.count + items.count * MemoryLayout<Item>.stride + 128 }
}

/// Gathers the events of one `EventBatch`, in ascending order of their revisions.
public struct EventBatchBuilder: Sendable {
  private var writer = ProtoWriter()
  private var items: [EventBatch.Item] = []
  private let bytesMax: Int
  private var isComplete = true

  /// Events beyond `bytesMax` encoded bytes make the batch incomplete. A reader of history passes no limit, and
  /// ends its slice between two main revisions instead.
  public init(bytesMax: Int = .max) {
    // Places are 32-bit numbers, and a gRPC message ends there too.
    self.bytesMax = min(bytesMax, Int(UInt32.max))
  }

  public var isEmpty: Bool { items.isEmpty && isComplete }
  /// Encoded bytes so far.
  public var byteCount: Int { writer.count }
  public var itemCount: Int { items.count }

  /// A put, given its encoded mvccpb.KeyValue in etcd's field order.
  public mutating func addPut(_ revision: Revision, keyValue: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = unsafe ProtoReader(keyValue)
    var keyCount = 0
    var createRevision: Int64 = 0
    var modRevision: Int64 = 0
    scan: while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): keyCount = unsafe try reader.readBuffer().count
      case .varint(2): createRevision = try reader.readInt64()
      case .varint(3): modRevision = try reader.readInt64()
      default: break scan
      }
    }
    unsafe addPut(
      revision, isCreate: createRevision == modRevision, keyCount: keyCount, keyValue: keyValue)
  }

  /// The same for a caller who knows the length of the key, which stands first in `keyValue`.
  public mutating func addPut(
    _ revision: Revision, isCreate: Bool, keyCount: Int, keyValue: UnsafeRawBufferPointer
  ) {
    let size = ProtoSize.message(2, size: keyValue.count)
    guard let eventStart = begin(size: size) else { return }
    writer.message(2, size: keyValue.count)
    let keyValueStart = writer.count
    unsafe writer.raw(keyValue)
    // An empty key is not encoded.
    let keyStart = keyValueStart + (keyCount == 0 ? 0 : ProtoSize.bytes(1, count: keyCount) - keyCount)
    append(
      revision, .put, isCreate: isCreate, eventStart: eventStart, keyValueStart: keyValueStart,
      key: keyStart..<(keyStart + keyCount))
  }

  /// A delete.
  public mutating func addDelete(_ revision: Revision, key: UnsafeRawBufferPointer) {
    let keyValueSize =
      ProtoSize.bytes(1, count: key.count) + ProtoSize.int64(3, revision.main)
    let size = ProtoSize.int32(1, Event.Kind.delete.rawValue) + ProtoSize.message(2, size: keyValueSize)
    guard let eventStart = begin(size: size) else { return }
    writer.int32(1, Event.Kind.delete.rawValue)
    writer.message(2, size: keyValueSize)
    let keyValueStart = writer.count
    unsafe writer.bytes(1, key)
    let keyEnd = writer.count
    writer.int64(3, revision.main)
    append(
      revision, .delete, isCreate: false, eventStart: eventStart, keyValueStart: keyValueStart,
      key: (keyEnd - key.count)..<keyEnd)
  }

  /// The batch, of the revisions `first...last`; the builder is as new.
  public mutating func finish(first: Int64, last: Int64) -> EventBatch {
    let batch = EventBatch(
      first: first, last: last, isComplete: isComplete, items: items, bytes: writer.bytes)
    self = EventBatchBuilder(bytesMax: bytesMax)
    return batch
  }

  private mutating func begin(size: Int) -> Int? {
    guard isComplete else { return nil }
    let start = writer.count
    guard start + ProtoSize.message(EventBatch.field, size: size) <= bytesMax else {
      isComplete = false
      items = []
      writer = ProtoWriter()
      return nil
    }
    writer.message(EventBatch.field, size: size)
    return start
  }

  private mutating func append(
    _ revision: Revision, _ kind: Event.Kind, isCreate: Bool, eventStart: Int, keyValueStart: Int,
    key: Range<Int>
  ) {
    if let last = items.last {
      precondition(
        (last.mainRevision, Int64(last.subRevision)) < (revision.main, revision.sub), "events come in order")
    }
    items.append(
      EventBatch.Item(
        mainRevision: revision.main, subRevision: Int32(truncatingIfNeeded: revision.sub), kind: kind,
        isCreate: isCreate, eventStart: UInt32(eventStart), keyValueStart: UInt32(keyValueStart),
        keyStart: UInt32(key.lowerBound), keyEnd: UInt32(key.upperBound), end: UInt32(writer.count)))
  }
}
