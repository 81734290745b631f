/// The last committed boundary, held by one LMDB read transaction, row by row; one thread at a time.
public final class Export: @unchecked Sendable {
  /// The boundary.
  public var appliedIndex: UInt64 { fatalError("engine under construction") }
  public var term: UInt64 { fatalError("engine under construction") }
  public var revision: Int64 { fatalError("engine under construction") }
  public var confState: [UInt8]? { fatalError("engine under construction") }

  init() {}

  /// Every row of every table, tables in the order of their raw value and keys ascending; checksums verified.
  public func forEachRow(
    _ body: (Table, UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> ScanStep
  ) throws(StoreError) { fatalError("engine under construction") }
  public func end() { fatalError("engine under construction") }
}

/// Builds a new data file from exported rows.
public final class StoreImporter: @unchecked Sendable {
  /// `path` must not exist. The file is not a store before `finish` has returned.
  public init(path: String, options: StoreOptions, identity: StoreIdentity) throws(StoreError) {
    fatalError("engine under construction")
  }
  /// Rows in the order of `Export.forEachRow`; anything else is refused as corrupt.
  public func append(
    table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
  ) throws(StoreError) { fatalError("engine under construction") }
  /// Writes identity and boundary, syncs, closes.
  public func finish() throws(StoreError) { fatalError("engine under construction") }
}
