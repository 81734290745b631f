internal import CPrimitives
internal import Model

/// The owner of the newest state: executes entries in memory, exactly one, used by one thread at a time.
///
/// Reads see every change made so far, published or not. Rows they return are valid until the entry is
/// finished. Changes name their revision; the caller counts revisions (main one above `revision` for an
/// entry that changes keys, sub from 0 in execution order). An error from any change poisons the store.
public final class Applier: @unchecked Sendable {
  let store: Store
  /// Reads with no bound above: this thread's own changes are visible.
  private let reader: ReadView
  private(set) var filling: Generation
  private var committing: Generation?
  /// The state as of the last change, finished or not.
  private var boundary: Boundary
  /// Set at each entry boundary: generations may have been committed since, and the snapshot may be old.
  private var isStale = true
  /// Pages of the filling generation that room was made for, and in which file.
  private var coveredPages = 0
  private var coveredFile: StoreFile
  /// Bytes of the filling generation that `Store.allocatedBytes` knows of.
  private var countedBytes = 0
  /// The main revision of the entry under way, 0 while it has changed no key, and its last sub.
  private var openMain: Int64 = 0
  private var lastSub: Int64 = -1

  init(store: Store) throws(StoreError) {
    self.store = store
    let published = try store.current()
    filling = published.filling
    coveredFile = published.file
    boundary = filling.publishedBoundary
    reader = try store.view()
  }

  /// Forgets everything, in favour of what was published by others.
  func start(from published: Published) throws(StoreError) {
    filling = published.filling
    committing = nil
    boundary = filling.publishedBoundary
    coveredFile = published.file
    coveredPages = 0
    countedBytes = 0
    openMain = 0
    lastSub = -1
    isStale = true
    try reader.rest(in: published.file)
  }

  /// The revision of the last change, finished or not.
  public var revision: Int64 { boundary.revision }
  /// The last finished entry.
  public var appliedIndex: UInt64 { boundary.appliedIndex }
  /// The last compaction scheduled, -1 before the first.
  public var compactRevision: Int64 { boundary.compactRevision }
  /// Bytes of memory that the filling generation uses: the caller freezes by size or by time.
  public var fillingBytes: Int { filling.usedBytes }
  /// Those of them that lie in the spill file: the part of a huge entry that must not become anonymous
  /// memory.
  public var spilledBytes: Int { filling.spillBytes }
  /// See `Store.hasRoom`.
  public func hasRoom(for cost: Int64, quotaBytes: Int64?) -> Bool {
    store.hasRoom(for: cost, quotaBytes: quotaBytes)
  }
  /// See `Store.isShortOfSpace`.
  public var isShortOfSpace: Bool { store.isShortOfSpace }
  /// True while a frozen generation waits for its commit: `freeze` would be refused.
  public var isCommitting: Bool {
    get throws(StoreError) { try store.current().committing != nil }
  }

  /// What the state is as of the last finished entry, at the price of a few additions. Nil while a compaction is under
  /// way, or was accepted and is not in the file yet. To be called between entries.
  public func digest() throws(StoreError) -> StateDigest? {
    precondition(openMain == 0, "called inside an entry")
    let published = try store.current()
    guard let committed = published.committed, committed.compactRevision == boundary.compactRevision else {
      return nil
    }
    var hash = committed.hash
    if let committing = published.committing { hash += committing.setHash }
    hash += filling.setHash
    return StateDigest(
      index: boundary.appliedIndex, revision: boundary.revision, compactRevision: boundary.compactRevision,
      hash: hash)
  }

  // MARK: reads

  /// The newest version of a key with main <= `at`, tombstones included.
  public func latest(_ key: UnsafeRawBufferPointer, at: Int64 = .max) throws(StoreError) -> Row? {
    try refresh()
    return try reader.latest(key, at: at)
  }

  /// See `ReadView.scan`. The body may change keys that the scan has reached.
  public func scan(
    from: [UInt8], to: KeyBound, at: Int64 = .max, content: RowContent = .keyValue,
    _ body: (Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    try refresh()
    try reader.scan(from: from, to: to, at: at, content: content, body)
  }

  /// See `ReadView.count`.
  public func count(from: [UInt8], to: KeyBound, at: Int64 = .max) throws(StoreError) -> Int64 {
    try refresh()
    return try reader.count(from: from, to: to, at: at)
  }

  /// See `ReadView.value`.
  public func value(table: Table, key: [UInt8]) throws(StoreError) -> [UInt8]? {
    try refresh()
    return try reader.value(table: table, key: key)
  }

  /// See `ReadView.tableRows`. The body may change rows that the scan has reached.
  public func tableRows(
    _ table: Table, from: [UInt8], to: KeyBound,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    try refresh()
    try reader.tableRows(table, from: from, to: to, body)
  }

  // MARK: changes

  /// Writes a new version of a key: version and create revision follow from its latest row. Returns the new
  /// row's facts.
  @discardableResult
  public func put(
    key: [UInt8], value: [UInt8], lease: Int64, main: Int64, sub: Int64
  ) throws(StoreError) -> RowVersion {
    try key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
      try value.withBytes { (value: UnsafeRawBufferPointer) throws(StoreError) in
        try change(key, Revision(main: main, sub: sub), isTombstone: false) { previous in
          if let previous, !previous.isTombstone {
            return KeyValueBytes(
              key: key, create: previous.create, mod: main, version: previous.version + 1, value: value,
              lease: lease)
          }
          return KeyValueBytes(key: key, create: main, mod: main, version: 1, value: value, lease: lease)
        }
      }
    }
  }

  /// Writes a tombstone. The key must exist.
  public func delete(key: [UInt8], main: Int64, sub: Int64) throws(StoreError) {
    _ = try key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
      try change(key, Revision(main: main, sub: sub), isTombstone: true) { previous in
        precondition(previous.map { !$0.isTombstone } ?? false, "only a live key is deleted")
        return KeyValueBytes(
          key: key, create: 0, mod: 0, version: 0, value: UnsafeRawBufferPointer(start: nil, count: 0),
          lease: 0)
      }
    }
  }

  /// Sets a row of one of the plain tables. In `meta`, `state` and `identity` are the engine's own, and
  /// `confState` comes back in `StoreRecovery`. Keys are 1 to 511 bytes.
  public func putRow(table: Table, key: [UInt8], value: [UInt8]) throws(StoreError) {
    try changeRow(table, key, value)
  }

  /// Deletes a row of one of the plain tables, if it exists.
  public func deleteRow(table: Table, key: [UInt8]) throws(StoreError) {
    try changeRow(table, key, nil)
  }

  /// Accepts a compaction; rows are deleted later, by the committer. `revision` must be above the last
  /// one's and at most the current revision.
  public func scheduleCompaction(revision: Int64) {
    precondition(revision > boundary.compactRevision && revision <= boundary.revision, "compaction revision")
    boundary.compactRevision = revision
  }

  // MARK: boundaries

  /// Ends an entry: everything since the last call belongs to it, and becomes visible and durable as a whole.
  public func finishEntry(index: UInt64, term: UInt64) throws(StoreError) {
    precondition(index > boundary.appliedIndex && term >= boundary.term, "entries are applied in order")
    boundary.sequence += 1
    boundary.appliedIndex = index
    boundary.term = term
    openMain = 0
    lastSub = -1
    isStale = true
    do throws(StoreError) { try filling.finish(boundary) } catch {
      store.poison(error)
      throw error
    }
    let file = store.file
    if filling.need.pagesMax > coveredPages || file !== coveredFile {
      coveredPages = filling.need.pagesMax + 16
      coveredFile = file
      file.space.extend(for: [filling.need, committing?.need ?? SpaceNeed()])
    }
  }

  /// Lets new views see everything up to the last finished entry. To be called before anyone hears of its
  /// outcome.
  public func publish() {
    precondition(openMain == 0, "published inside an entry")
    store.allocated.generationGrew(by: filling.usedBytes - countedBytes)
    countedBytes = filling.usedBytes
    store.allocated.shortIs(store.isShortOfSpace)
    filling.publish()
    // An idle applier must not keep LMDB from reusing pages.
    reader.rest()
    isStale = true
  }

  /// Lets go of a data file that a defragmentation has replaced, so that it can be removed. To be called
  /// between entries; the next entry would do so too, but may be long in coming.
  public func followFile() throws(StoreError) {
    precondition(openMain == 0, "called inside an entry")
    let file = try store.current().file
    try reader.rest(in: file)
    isStale = true
    guard file !== coveredFile else { return }
    coveredFile = file
    coveredPages = 0
  }

  /// Publishes, and hands the filling generation to the committer. False if that still has the last one
  /// (backpressure: ask again after its commit); true as well when nothing was finished since the last
  /// freeze.
  public func freeze() throws(StoreError) -> Bool {
    publish()
    guard try store.current().committing == nil else { return false }
    let file = store.file
    if file.space.isShort { file.space.extend(for: [filling.need]) }
    guard !filling.isEmpty else { return true }
    let options = store.options
    let next = try Generation(
      number: filling.number + 1, boundary: boundary,
      arena: Arena(pool: store.pool, memoryBytesMax: options.generationMemoryBytesMax, spillPath: store.path))
    guard store.freeze(next: next) else { return false }
    filling = next
    coveredPages = 0
    countedBytes = 0
    return true
  }

  // MARK: one change

  /// The row that a new one follows.
  private struct Parent {
    var version: RowVersion
    var pointers: RowPointers
    /// Its record, if it is in the filling generation.
    var record: VersionRecord?
  }

  @inline(__always)
  private func change(
    _ key: UnsafeRawBufferPointer, _ revision: Revision, isTombstone: Bool,
    _ make: (RowVersion?) -> KeyValueBytes
  ) throws(StoreError) -> RowVersion {
    precondition(!key.isEmpty, "a key is at least one byte")
    precondition(
      openMain == 0
        ? revision.main > boundary.revision : revision.main == openMain && revision.sub > lastSub,
      "revisions rise, and an entry has one main revision")
    do throws(StoreError) {
      try refresh()
      let found = filling.findForWriting(key)
      let parent = try parent(key, found: found)
      var jumpRecord: VersionRecord?
      let pointers = try pointers(below: parent, jumpRecord: &jumpRecord)
      let record = try filling.append(
        make(parent?.version), at: revision, isTombstone: isTombstone, pointers: pointers, found: found,
        jumpRecord: jumpRecord)
      try filling.moveLease(of: key, from: parent?.version, to: record.version)
      boundary.revision = revision.main
      openMain = revision.main
      lastSub = revision.sub
      return record.version
    } catch {
      store.poison(error)
      throw error
    }
  }

  private func changeRow(_ table: Table, _ key: [UInt8], _ value: [UInt8]?) throws(StoreError) {
    precondition(table.isPlain, "\(table) is not written row by row")
    precondition(!key.isEmpty && key.count <= RowFormat.tableKeyBytesMax, "key length in \(table)")
    precondition(table != .meta || (key != DiskState.key && key != DiskIdentity.key), "the engine's own row")
    do throws(StoreError) {
      try key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
        guard let value else { return try filling.change(table: table, key: key, payload: nil) }
        try value.withBytes { (value: UnsafeRawBufferPointer) throws(StoreError) in
          try filling.change(table: table, key: key, payload: value)
        }
      }
    } catch {
      store.poison(error)
      throw error
    }
  }

  @inline(__always)
  private func parent(_ key: UnsafeRawBufferPointer, found: SkipNode?) throws(StoreError) -> Parent? {
    if let record = found?.record.map(VersionRecord.init) {
      return Parent(version: record.version, pointers: record.pointers, record: record)
    }
    if let record = committing?.keys.node(key)?.record.map(VersionRecord.init) {
      return Parent(version: record.version, pointers: record.pointers)
    }
    return try reader.diskKeyRow(key).map { row in Parent(version: row.version, pointers: row.pointers) }
  }

  /// The skew-binary rule: jump where the parent's jump jumps if the two last jumps span equally far, else
  /// to the parent. How far a jump spans follows from the depth alone.
  private func pointers(
    below parent: Parent?, jumpRecord: inout VersionRecord?
  ) throws(StoreError) -> RowPointers {
    guard let parent else { return RowPointers() }
    let depth = parent.pointers.depth
    let jumpDepth = Self.jumpDepth(depth)
    let isPair = depth > 0 && depth - jumpDepth == jumpDepth - Self.jumpDepth(jumpDepth)
    guard isPair else {
      jumpRecord = parent.record
      return RowPointers(previous: parent.version.mod, jump: parent.version.mod, depth: depth + 1)
    }
    if let record = parent.record?.header.pointee.jumpRecord.map(VersionRecord.init) {
      jumpRecord = record.header.pointee.jumpRecord.map(VersionRecord.init)
      return RowPointers(previous: parent.version.mod, jump: record.pointers.jump, depth: depth + 1)
    }
    return RowPointers(
      previous: parent.version.mod, jump: try jump(of: parent.pointers.jump), depth: depth + 1)
  }

  /// The depth that the jump pointer of a row at `depth` leads to: less by the least term of its skew-binary
  /// representation.
  static func jumpDepth(_ depth: UInt32) -> UInt32 {
    var rest = depth
    var term: UInt32 = 0
    while rest > 0 {
      term = (1 << (31 - (rest + 1).leadingZeroBitCount)) - 1
      rest -= term
    }
    return depth - term
  }

  /// The jump pointer of an older row. Where compaction deleted it, none: no read follows a pointer to
  /// a revision that is compacted.
  private func jump(of revision: Revision) throws(StoreError) -> Revision {
    let none = Revision(main: 0, sub: 0)
    guard revision.main > 0 else { return none }
    if let committing {
      let index = committing.revisions.lowerBound(revision, count: committing.recordCount)
      if index < committing.recordCount, committing.revisions[index].revision == revision {
        return committing.revisions[index].pointers.jump
      }
    }
    if let row = try reader.diskRevisionRow(revision) { return row.pointers.jump }
    if revision.main <= boundary.compactRevision { return none }
    throw reader.missing(revision)
  }

  /// Once an entry: the generations as they are now, and a snapshot that reaches them.
  @inline(__always)
  private func refresh() throws(StoreError) {
    guard isStale else { return }
    let published = try store.current()
    try reader.selectForWriting(from: published, compactRevision: boundary.compactRevision)
    committing = reader.older
    isStale = false
  }
}
