internal import LMDB

/// One LMDB file of the store, with what belongs to it alone. A defragmentation ends with another one in its
/// place; views taken before go on with this one, and it closes when the last of them has gone.
final class StoreFile: Sendable {
  let environment: Environment
  let tables: TableHandles
  let space: Space

  init(_ environment: Environment, options: StoreOptions) {
    self.environment = environment
    tables = TableHandles(environment)
    space = Space(environment: environment, options: options)
  }

  var path: String { environment.path }
  /// Pages that hold or held data, in bytes.
  var usedBytes: Int64 { Int64(environment.usedPages) * Int64(environment.pageBytes) }

  /// Begins a transaction on the last committed state.
  func beginRead() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) { return try environment.beginRead() } catch { throw StoreError(error) }
  }

  func state(in transaction: borrowing ReadTransaction) throws(StoreError) -> DiskState {
    guard let state = try DiskState.read(transaction, tables, path: path) else {
      throw StoreError.incomplete(file: path)
    }
    return state
  }
}
