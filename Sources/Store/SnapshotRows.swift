/// What can be said of a single row of a snapshot, without a store.
public struct ExportedRow {
  public let table: Table
  public let key: UnsafeRawBufferPointer
  public let value: UnsafeRawBufferPointer

  public init(table: Table, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    self.table = table
    self.key = key
    self.value = value
  }

  /// Whether checksums and form hold.
  public var isIntact: Bool { RowCheck.isValid(table, key: key, value: value) }

  /// Whether an intact row is the latest version of a key that exists: one for each.
  public var isLiveKey: Bool {
    switch table {
    case .key:
      key.count != RowFormat.keyPartBytes
        && KeyRow(table: table, key: key, value: value)?.isTombstone == false
    case .long:
      key.count != RowFormat.nodeBytes + RowFormat.keyPartBytes
        && KeyRow(table: table, key: key, value: value)?.isTombstone == false
    case .rev, .lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta: false
    }
  }

  /// The key of the row of `meta` that holds the configuration.
  public static let confStateKey = Array("confState".utf8)
}
