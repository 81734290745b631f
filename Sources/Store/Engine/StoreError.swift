public import LMDB

/// Why the store cannot go on. Client outcomes (compacted, no such key) are never thrown: these are operating
/// errors, and after any of them that came from a write the process has to stop and replay from the log.
public enum StoreError: Error, Hashable, Sendable {
  /// The store's data file, its map or a spill file is out of room.
  case noSpace(file: String, operation: String)
  /// A row's checksum does not cover its bytes, or a row that must exist is missing.
  case corrupt(file: String, table: Table, key: [UInt8], reason: String)
  /// A page of the data file cannot be right; `table` is the tree that leads to it.
  case damagedPage(file: String, page: UInt64, table: String?, reason: String)
  /// The database library failed; the error names file and operation.
  case database(LMDBError)
  /// A system call on a file other than the database failed.
  case file(String, operation: String, errno: Int32)
  /// The file has a format version this build does not know.
  case unknownFormat(file: String, version: UInt32)
  /// The file belongs to another cluster or member.
  case foreign(file: String, found: StoreIdentity, expected: StoreIdentity)
  /// The file was never finished: an import that was cut short.
  case incomplete(file: String)
  /// An earlier write failed; `reason` is that failure. Nothing is accepted any more.
  case poisoned(reason: String)
  /// An export held its read transaction while the file grew by more than its limit.
  case exportAborted(file: String, grownBytes: Int64)
  /// The revision cannot grow by so much.
  case revisionOverflow(file: String, bump: Int64)
}

extension StoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .noSpace(let file, let operation): "no space: \(operation) on \(file)"
    case .corrupt(let file, let table, let key, let reason):
      "corrupt row in \(file), table \(table), key \(hexadecimal(key)): \(reason)"
    case .damagedPage(let file, let page, let table, let reason):
      PageDamage(path: file, page: page, table: table, reason: reason).description
    case .database(let error): error.description
    case .file(let file, let operation, let code): "\(operation) on \(file) failed with errno \(code)"
    case .unknownFormat(let file, let version): "\(file) has unknown format version \(version)"
    case .foreign(let file, let found, let expected): "\(file) belongs to \(found), expected \(expected)"
    case .incomplete(let file): "\(file) is an unfinished import"
    case .poisoned(let reason): "store stopped after an earlier failure: \(reason)"
    case .revisionOverflow(let file, let bump): "\(file): no revision is \(bump) above its current one"
    case .exportAborted(let file, let bytes): "export aborted: \(file) grew by \(bytes) bytes meanwhile"
    }
  }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef")
  var text = ""
  text.reserveCapacity(bytes.count * 2)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 15)])
  }
  return text
}

extension StoreError {
  /// The store's name for a database failure.
  init(_ error: LMDBError) {
    self = error.isSpace ? .noSpace(file: error.path, operation: error.operation) : .database(error)
  }
}

extension ReadTransaction {
  /// A cursor, with failures named as the store does.
  borrowing func open(_ database: Database) throws(StoreError) -> ReadCursor {
    do throws(LMDBError) { return try cursor(database) } catch { throw StoreError(error) }
  }
}
