/// The apply thread's owner of the newest state; exactly one, used by one thread at a time.
public final class Applier: @unchecked Sendable {
  init() {}

  /// The revision of the last change, finished or not.
  public var revision: Int64 { fatalError("engine under construction") }
  public var appliedIndex: UInt64 { fatalError("engine under construction") }
  /// The last compaction scheduled, -1 before the first.
  public var compactRevision: Int64 { fatalError("engine under construction") }
  /// Bytes held by the filling generation: the caller freezes by size or time.
  public var fillingBytes: Int { fatalError("engine under construction") }
  /// True while a frozen generation waits for its commit: freeze would be refused.
  public var isCommitting: Bool { fatalError("engine under construction") }

  // Reads see every change made so far, published or not.
  public func latest(_ key: UnsafeRawBufferPointer, at: Int64 = .max) throws(StoreError) -> Row? {
    fatalError("engine under construction")
  }
  public func scan(
    from: [UInt8], to: KeyBound, at: Int64 = .max, content: RowContent = .keyValue,
    _ body: (Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }
  public func count(from: [UInt8], to: KeyBound, at: Int64 = .max) throws(StoreError) -> Int64 {
    fatalError("engine under construction")
  }
  public func value(table: Table, key: [UInt8]) throws(StoreError) -> [UInt8]? {
    fatalError("engine under construction")
  }
  public func tableRows(
    _ table: Table, from: [UInt8], to: KeyBound,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }

  /// Writes a new version; returns the new row's facts.
  @discardableResult
  public func put(key: [UInt8], value: [UInt8], lease: Int64, main: Int64, sub: Int64) throws(StoreError)
    -> RowVersion
  { fatalError("engine under construction") }
  /// Writes a tombstone. The key must exist.
  public func delete(key: [UInt8], main: Int64, sub: Int64) throws(StoreError) {
    fatalError("engine under construction")
  }
  /// Sets a row of one of the other tables (not `rev`, `key`, `long`); `meta` names: see the format.
  public func putRow(table: Table, key: [UInt8], value: [UInt8]) throws(StoreError) {
    fatalError("engine under construction")
  }
  public func deleteRow(table: Table, key: [UInt8]) throws(StoreError) {
    fatalError("engine under construction")
  }
  /// Marks a compaction; the committer deletes later. `revision` must rise and be at most the current one.
  public func scheduleCompaction(revision: Int64) { fatalError("engine under construction") }
  /// Ends an entry: everything since the last call belongs to it.
  public func finishEntry(index: UInt64, term: UInt64) throws(StoreError) {
    fatalError("engine under construction")
  }
  /// Lets new views see everything up to the last finished entry.
  public func publish() { fatalError("engine under construction") }
  /// Publishes and hands the filling generation to the committer; false if it still works on the last one
  /// (backpressure). True as well when there was nothing to hand over.
  public func freeze() throws(StoreError) -> Bool { fatalError("engine under construction") }
}
