internal import CPrimitives
internal import Model

/// Rows of `leasekey`: the keys that each lease holds. They follow from puts and deletes, in the same entry, so that a
/// key's lease and its lease's keys can never disagree.
///
/// A row's key, for a user key below 480 bytes; its payload is empty:
/// ```
///  0       8
///  | lease | user key ...
/// ```
/// For a longer user key, which LMDB could not hold; `main` and `sub` are its latest row's, and the payload is the rest
/// of it:
/// ```
///  0       8                             488    496   504
///  | lease | first 480 bytes of user key | main | sub |
/// ```
/// A lease's keys thus lie in byte order, but for long ones with equal first parts, which lie in the order of
/// their changes.
enum LeaseKeyRow {
  static let leaseBytes = 8
  static let longBytes = leaseBytes + RowFormat.keyPartBytes + RowFormat.revisionKeyBytes

  /// Calls `body` with the key and the payload of the row for `key`.
  static func withRow<Result>(
    lease: Int64, key: UnsafeRawBufferPointer, at revision: Revision,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    let part = min(key.count, RowFormat.keyPartBytes)
    let isLong = key.count >= RowFormat.keyPartBytes
    let count = isLong ? longBytes : leaseBytes + part
    let rest = UnsafeRawBufferPointer(rebasing: key[part...])
    return try withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) {
      (bytes: UnsafeMutableRawBufferPointer) throws(StoreError) -> Result in
      guard let target = bytes.baseAddress else { preconditionFailure("a row's key is never empty") }
      target.set64(UInt64(bitPattern: lease), at: 0)
      if let source = key.baseAddress {
        (target + leaseBytes).copyMemory(from: source, byteCount: part)
      }
      if isLong {
        target.set64(UInt64(bitPattern: revision.main), at: leaseBytes + part)
        target.set64(UInt64(bitPattern: revision.sub), at: leaseBytes + part + 8)
      }
      return try body(UnsafeRawBufferPointer(bytes), rest)
    }
  }
}

extension Generation {
  /// Lets the lease of a key's row before let go of the key, and that of its new row hold it.
  @inline(__always)
  func moveLease(
    of key: UnsafeRawBufferPointer, from previous: RowVersion?, to next: RowVersion
  ) throws(StoreError) {
    let held = previous?.lease ?? 0
    if held == 0 && next.lease == 0 { return }
    try changeLease(of: key, from: previous, to: next)
  }

  private func changeLease(
    of key: UnsafeRawBufferPointer, from previous: RowVersion?, to next: RowVersion
  ) throws(StoreError) {
    // A long key's row is named by the revision, which has changed.
    if previous?.lease == next.lease && key.count < RowFormat.keyPartBytes { return }
    if let previous, previous.lease != 0 {
      try LeaseKeyRow.withRow(lease: previous.lease, key: key, at: previous.mod) {
        (row, _) throws(StoreError) in try change(table: .leasekey, key: row, payload: nil)
      }
    }
    if next.lease != 0 {
      try LeaseKeyRow.withRow(lease: next.lease, key: key, at: next.mod) {
        (row, rest) throws(StoreError) in try change(table: .leasekey, key: row, payload: rest)
      }
    }
  }
}
