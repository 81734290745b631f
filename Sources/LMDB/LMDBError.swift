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

  public var description: String {
    let text = mdb_strerror(code).map { String(cString: $0) } ?? "unknown"
    return "\(operation) on \(path) failed: \(text) (\(code))"
  }
}
