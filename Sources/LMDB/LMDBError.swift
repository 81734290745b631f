internal import CLMDB

/// A failed LMDB call: which call, on which file, and LMDB's code.
public struct LMDBError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The C function, or the system call made on LMDB's behalf.
  public var operation: String
  public var path: String
  /// An MDB_ code (negative) or an errno.
  public var code: Int32

  public init(operation: String, path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  static let notFoundCode: Int32 = 2  // ENOENT
  static let alreadyOpenCode: Int32 = 16  // EBUSY
  static let notSupportedCode: Int32 = 95  // EOPNOTSUPP

  /// The map or the disk is full.
  public var isSpace: Bool { code == MDB_MAP_FULL || code == 28 || code == 122 }  // ENOSPC, EDQUOT
  /// LMDB met pages that cannot be right.
  public var isCorruption: Bool {
    code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID || code == MDB_PANIC
  }
  /// The file is open in this process already.
  public var isAlreadyOpen: Bool { operation == "open" && code == Self.alreadyOpenCode }

  public var description: String {
    let text = mdb_strerror(code).map { String(cString: $0) } ?? "unknown"
    return "\(operation) on \(path) failed: \(text) (\(code))"
  }
}
