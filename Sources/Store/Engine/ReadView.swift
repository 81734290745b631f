public import Model

/// A consistent view; one thread at a time. Ends when it is released, or earlier by `end`.
public final class ReadView: @unchecked Sendable {
  public var revision: Int64 { fatalError("engine under construction") }
  public var appliedIndex: UInt64 { fatalError("engine under construction") }
  public var term: UInt64 { fatalError("engine under construction") }
  /// The last compaction accepted in this view's state, -1 before the first; reads below it are the caller's to refuse.
  public var compactRevision: Int64 { fatalError("engine under construction") }

  init() {}

  /// Moves the view to the newest published state. Everything read so far becomes invalid.
  public func renew() throws(StoreError) { fatalError("engine under construction") }
  /// Gives the LMDB reader back. The view must not be used any more.
  public func end() { fatalError("engine under construction") }
  /// The newest version of `key` with main <= `at`, tombstones included.
  public func latest(_ key: UnsafeRawBufferPointer, at: Int64) throws(StoreError) -> Row? {
    fatalError("engine under construction")
  }
  /// Live keys of a range at a revision, ascending.
  public func scan(
    from: [UInt8], to: KeyBound, at: Int64, content: RowContent = .keyValue,
    _ body: (Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }
  /// The number of live keys of a range at a revision.
  public func count(from: [UInt8], to: KeyBound, at: Int64) throws(StoreError) -> Int64 {
    fatalError("engine under construction")
  }
  /// Every physical row from `from` to the last one of main revision `through`, in revision order.
  public func rows(
    from: Revision, through: Int64, _ body: (Revision, Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }
  /// The value of a row in one of the other tables.
  public func value(table: Table, key: [UInt8]) throws(StoreError) -> [UInt8]? {
    fatalError("engine under construction")
  }
  /// The rows of one of the other tables, ascending.
  public func tableRows(
    _ table: Table, from: [UInt8], to: KeyBound,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }
}
