import Glibc

/// A file operation that failed: which one, on what, and the system's error number.
public struct DiskError: Error, Hashable, Sendable {
  public enum Operation: String, Sendable, CaseIterable {
    case open, create, size, read, write, truncate, preallocate, sync, rename, remove, list, exists, lock
    case createDirectory = "create directory"
    case removeDirectory = "remove directory"
    case syncDirectory = "sync directory"
  }

  /// An `errno` value, with names for those that callers treat apart.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public var rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let notFound = Code(rawValue: ENOENT)
    public static let exists = Code(rawValue: EEXIST)
    public static let inputOutput = Code(rawValue: EIO)
    public static let noSpace = Code(rawValue: ENOSPC)
    public static let badHandle = Code(rawValue: EBADF)
    public static let locked = Code(rawValue: EWOULDBLOCK)
    public static let notDirectory = Code(rawValue: ENOTDIR)
    public static let isDirectory = Code(rawValue: EISDIR)
    public static let notEmpty = Code(rawValue: ENOTEMPTY)
    public static let fileTooLarge = Code(rawValue: EFBIG)
    public static let invalid = Code(rawValue: EINVAL)
    /// What every operation of a `SimulatedDisk` answers after its power was cut.
    public static let powerOff = Code(rawValue: ENODEV)
  }

  public var operation: Operation
  public var path: String
  public var code: Code

  public init(_ operation: Operation, _ path: String, _ code: Code) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// The error the calling thread's last system call left in `errno`.
  init(last operation: Operation, _ path: String) {
    self.init(operation, path, Code(rawValue: errno))
  }
}

extension DiskError: CustomStringConvertible {
  public var description: String {
    let text = strerror(code.rawValue).map { String(cString: $0) } ?? "error \(code.rawValue)"
    return "\(operation.rawValue) \(path): \(text)"
  }
}
