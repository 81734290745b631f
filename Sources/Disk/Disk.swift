/// The one way to files below the edge. Production uses `PosixDisk`, the simulator and the crash tests
/// `SimulatedDisk`; what each call promises about a power cut is part of the contract and is written here.
///
/// A name is durable only after `syncDirectory` of its parent, bytes only after `DiskFile.syncData`. What was
/// not synced may survive a crash wholly, in any part, or not at all, in any order.
///
/// Any thread may call a disk; a `DiskFile` has one owner at a time.
public protocol Disk: Sendable {
  /// Opens a file. The handle's later calls are independent of renames and removals of the name.
  ///
  /// With `.create` the new, empty file's name is not durable before `syncDirectory`.
  func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile

  /// Makes one directory (0700); an existing one is left as it is. Not durable before `syncDirectory` of the
  /// parent.
  func createDirectory(_ path: String) throws(DiskError)

  /// Gives the file another name, replacing what has that name; atomic for observers. After a crash either
  /// name may hold the file until the directories of both are synced. The file's bytes are not synced by it.
  func rename(_ path: String, to newPath: String) throws(DiskError)

  /// Removes the name of a file. Until `syncDirectory` the file may be back after a crash.
  func remove(_ path: String) throws(DiskError)

  /// Removes an empty directory, with the durability of `remove`.
  func removeDirectory(_ path: String) throws(DiskError)

  /// The names in a directory, in byte order, without `.` and `..`.
  func list(_ directory: String) throws(DiskError) -> [String]

  /// Makes all creations, renames and removals of names in this directory durable.
  func syncDirectory(_ path: String) throws(DiskError)

  /// True when the name exists, as a file or a directory.
  func exists(_ path: String) throws(DiskError) -> Bool

  /// Takes the exclusive lock of a lock file, which is created (0600) when missing. Held until the lock object is
  /// released or the process ends; a second taker, also in this process, gets `DiskError` with EWOULDBLOCK.
  func lock(_ path: String) throws(DiskError) -> any DiskLock
}

/// An open file. One owner at a time; closed by `close` or when the last reference goes.
public protocol DiskFile: AnyObject {
  /// The name the file was opened by (for errors; a rename does not change it).
  var path: String { get }

  /// Bytes in the file.
  func size() throws(DiskError) -> Int

  /// Fills the buffer from `offset`; fewer bytes are returned only at the end of the file.
  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int

  /// Writes all bytes at `offset`, extending the file when needed. Durable after `syncData`; until then a crash may
  /// keep any subset of the 512-byte sectors. After an error any subset may have been written.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError)

  /// Cuts or extends (with a hole of zeros) the file. Durable after `syncData`.
  func truncate(to size: Int) throws(DiskError)

  /// Extends the file to `size` with written zeros, so that later writes into it allocate nothing and their sync
  /// has no metadata to write. Does nothing to a file that is as long. Durable after `syncData`.
  func preallocate(to size: Int) throws(DiskError)

  /// Makes the bytes and the size durable (fdatasync), not the name. After an error nothing is known about the
  /// bytes written since the last successful sync, and a retry that succeeds proves nothing: the owner must stop.
  func syncData() throws(DiskError)

  /// Starts writing what was written so far to the disk, after waiting for what the last call started. Makes nothing
  /// durable: it keeps the amount small that `syncData` has to write at once, so that other files on the disk sync as
  /// fast as ever meanwhile.
  func startWriteback() throws(DiskError)

  /// Closes the handle; further calls fail with EBADF. Syncs nothing.
  func close()
}

/// A held lock, see `Disk.lock`.
public protocol DiskLock: AnyObject, Sendable {
  func release()
}

/// How `Disk.open` opens.
public enum OpenMode: Sendable {
  /// An existing file, for reading.
  case read
  /// An existing file, for reading and writing.
  case readWrite
  /// A new file (0600), for reading and writing; an existing name is an error (EEXIST).
  case create
}

extension Disk {
  /// Makes a directory and its missing parents, each durable when the call returns.
  public func createDirectories(_ path: String) throws(DiskError) {
    if try exists(path) { return }
    let parent = parentDirectory(of: path)
    if parent != path { try createDirectories(parent) }
    try createDirectory(path)
    try syncDirectory(parent)
  }

  /// The bytes of a whole file; `limit` bounds what a strange file can cost (EFBIG beyond it).
  public func readAll(_ path: String, limit: Int) throws(DiskError) -> [UInt8] {
    let file = try open(path, .read)
    defer { file.close() }
    let size = try file.size()
    guard size <= limit else { throw DiskError(.read, path, .fileTooLarge) }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try bytes.read(file)
    bytes.removeLast(size - count)
    return bytes
  }
}

extension [UInt8] {
  fileprivate mutating func read(_ file: any DiskFile) throws(DiskError) -> Int {
    try withUnsafeMutableBufferPointer { (buffer) throws(DiskError) in
      try file.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }
}

extension DiskFile {
  /// Where the disk has nothing to start.
  public func startWriteback() throws(DiskError) {}

  /// `write` of an array.
  public func write(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(DiskError) in
      try write(UnsafeRawBufferPointer(buffer), at: offset)
    }
  }
}

/// The directory part of a path: "/" of "/a", "." of "a".
public func parentDirectory(of path: String) -> String {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
