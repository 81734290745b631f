internal import CPrimitives
internal import Model
internal import Primitives

/// The state at an entry boundary.
struct Boundary {
  /// Entries finished since the store was opened: orders the changes of other tables.
  var sequence: UInt64 = 0
  var appliedIndex: UInt64 = 0
  var term: UInt64 = 0
  var revision: Int64 = 1
  /// The last compaction accepted, -1 before the first.
  var compactRevision: Int64 = -1
  /// Records in the generation's revision list.
  var recordCount = 0
}

/// A redo batch for all tables: what the entries since the last freeze changed, in memory, on its way to
/// LMDB.
///
/// Exactly one thread writes (the applier, until freeze); then the committer reads; views read at any time
/// and take no lock. What a view may see is bounded by the boundary it loaded: records above its revision
/// and changes above its sequence are skipped. Memory lives as long as the last reference.
///
/// Sendable because of that: the writer-only fields pass to the committer under the store's lock, everything
/// else is reached through acquire loads of pointers that were stored with release.
final class Generation: @unchecked Sendable {
  let number: UInt64
  private var arena: Arena
  /// One word: the address of the published boundary.
  private let published: UnsafeMutableRawPointer
  /// Versions by key, changes of other tables by tagged key, versions by revision: any thread.
  let keys: SkipList
  let changes: SkipList
  let revisions: RevisionList
  private var keyWriter: SkipListWriter
  private var changeWriter: SkipListWriter
  /// Records in `revisions`, finished or not: the writer's.
  private(set) var recordCount = 0
  /// The writer's boundary: the last finished entry.
  private(set) var boundary: Boundary
  /// Sum of the set-hashes of all records.
  private(set) var setHash = SetHash()
  /// What committing this takes of the data file.
  private(set) var need = SpaceNeed()
  /// False once an entry was finished here.
  private(set) var isEmpty = true
  /// Memory for the next boundary; nil when the last finished one is published.
  private var spare: UnsafeMutableRawPointer?

  init(number: UInt64, boundary: Boundary, arena: consuming Arena) throws(StoreError) {
    self.number = number
    published = try arena.allocate(8)
    keys = try SkipList(in: &arena)
    changes = try SkipList(in: &arena)
    revisions = try RevisionList(in: &arena)
    keyWriter = SkipListWriter(keys)
    changeWriter = SkipListWriter(changes)
    self.boundary = boundary
    self.boundary.recordCount = 0
    self.arena = arena
    published.storeBytes(of: 0, as: UInt.self)
    try finish(self.boundary)
    publish()
    isEmpty = true
  }

  var usedBytes: Int { arena.usedBytes }
  var spillBytes: Int { arena.spillBytes }

  /// Moves the writer's boundary: an entry is finished.
  func finish(_ boundary: Boundary) throws(StoreError) {
    self.boundary = boundary
    self.boundary.recordCount = recordCount
    isEmpty = false
    // Memory for publishing it is taken here, where failing is possible.
    if spare == nil { spare = try arena.allocate(MemoryLayout<Boundary>.size) }
  }

  /// Lets readers see everything up to the last finished entry.
  func publish() {
    guard let record = spare else { return }
    spare = nil
    record.storeBytes(of: boundary, as: Boundary.self)
    cairn_store_pointer(published, record)
  }

  /// The published boundary; any thread.
  var publishedBoundary: Boundary {
    guard let record = cairn_load_pointer(published) else { preconditionFailure("published since init") }
    return record.load(as: Boundary.self)
  }

  /// The writer's search for a key's newest record in this generation; `append` of the same key may follow.
  @inline(__always)
  func findForWriting(_ key: UnsafeRawBufferPointer) -> SkipNode? { keyWriter.find(key) }

  /// Adds a version. `found` is what `findForWriting` of the key returned; `jumpRecord` is the record of
  /// `pointers.jump` if it is in this generation.
  func append(
    _ keyValue: KeyValueBytes, at revision: Revision, isTombstone: Bool, pointers: RowPointers,
    found: SkipNode?, jumpRecord: VersionRecord?
  ) throws(StoreError) -> VersionRecord {
    let count = keyValue.encodedCount
    let node: SkipNode
    if let found { node = found } else { node = try keyWriter.insert(keyValue.key, in: &arena) }
    let address = try arena.allocate(VersionRecord.headerBytes + count)
    keyValue.encode(to: address + VersionRecord.headerBytes)
    let encoded = UnsafeRawBufferPointer(start: address + VersionRecord.headerBytes, count: count)
    address.storeBytes(
      of: VersionHeader(
        older: found?.record, jumpRecord: jumpRecord?.address, node: node.address, main: revision.main,
        create: keyValue.create, version: keyValue.version, lease: keyValue.lease,
        previousMain: pointers.previous.main, jumpMain: pointers.jump.main,
        sub: UInt32(truncatingIfNeeded: revision.sub),
        previousSub: UInt32(truncatingIfNeeded: pointers.previous.sub),
        jumpSub: UInt32(truncatingIfNeeded: pointers.jump.sub), depth: pointers.depth,
        isTombstone: isTombstone ? 1 : 0, keyValueCount: UInt32(count),
        keyValueChecksum: CRC32C.checksum(encoded)), as: VersionHeader.self)
    let record = VersionRecord(address: address)
    setHash += SetHash(
      main: revision.main, sub: UInt32(truncatingIfNeeded: revision.sub), keyValue: encoded)
    try revisions.set(recordCount, record, in: &arena)
    recordCount += 1
    node.setRecord(address)
    // A key touches its leaf in `key`, a long one a leaf for each level. Its row's bytes may come twice, in
    // `rev` and inlined; a value too large for a leaf fills whole pages.
    if found == nil { need.touchedPages += 1 + keyValue.key.count / RowFormat.keyPartBytes }
    need.dataBytes += 2 * (count + 100) + (count > 1900 ? 4096 : 0)
    return record
  }

  /// Records a change of another table; `payload` nil deletes the row.
  func change(
    table: Table, key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer?
  ) throws(StoreError) {
    let node = try Self.withTaggedKey(table, key) {
      (tagged: UnsafeRawBufferPointer) throws(StoreError) -> SkipNode in
      if let found = changeWriter.find(tagged) { return found }
      return try changeWriter.insert(tagged, in: &arena)
    }
    let address = try arena.allocate(ChangeRecord.headerBytes + (payload?.count ?? 0))
    address.storeBytes(
      of: ChangeHeader(
        older: node.record, sequence: boundary.sequence + 1, isDeletion: payload == nil ? 1 : 0,
        count: UInt32(payload?.count ?? 0)), as: ChangeHeader.self)
    if let source = payload?.baseAddress {
      (address + ChangeRecord.headerBytes).copyMemory(from: source, byteCount: payload?.count ?? 0)
    }
    node.setRecord(address)
    need.touchedPages += 1
    need.dataBytes += key.count + (payload?.count ?? 0) + 100
  }

  /// Calls `body` with the key under which `changes` holds a table's row: the table's raw value first.
  static func withTaggedKey<Result, Failure: Error>(
    _ table: Table, _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withUnsafeTemporaryAllocation(byteCount: key.count + 1, alignment: 1) {
      (bytes: UnsafeMutableRawBufferPointer) throws(Failure) -> Result in
      bytes[0] = table.rawValue
      UnsafeMutableRawBufferPointer(rebasing: bytes[1...]).copyMemory(from: key)
      return try body(UnsafeRawBufferPointer(bytes))
    }
  }
}
