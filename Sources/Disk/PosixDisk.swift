import CPrimitives
import Glibc

/// The real disk: plain system calls, EINTR retried, short reads and writes continued.
public struct PosixDisk: Disk {
  private let syncs: Bool

  /// - Parameter syncs: false makes every sync return at once: a power cut may lose or tear anything written
  ///   (`--unsafe-no-fsync`).
  public init(syncs: Bool = true) { self.syncs = syncs }

  public func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
    let flags: Int32
    let operation: DiskError.Operation
    switch mode {
    case .read: (flags, operation) = (O_RDONLY | O_CLOEXEC, .open)
    case .readWrite: (flags, operation) = (O_RDWR | O_CLOEXEC, .open)
    case .create: (flags, operation) = (O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, .create)
    }
    let descriptor = retrying { Glibc.open(path, flags, 0o600) }
    guard descriptor >= 0 else { throw DiskError(last: operation, path) }
    return PosixFile(path: path, descriptor: descriptor, syncs: syncs)
  }

  public func createDirectory(_ path: String) throws(DiskError) {
    if mkdir(path, 0o700) == 0 { return }
    let failure = DiskError(last: .createDirectory, path)
    guard failure.code == .exists else { throw failure }
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { throw failure }
  }

  public func rename(_ path: String, to newPath: String) throws(DiskError) {
    guard Glibc.rename(path, newPath) == 0 else { throw DiskError(last: .rename, path) }
  }

  public func remove(_ path: String) throws(DiskError) {
    guard unlink(path) == 0 else { throw DiskError(last: .remove, path) }
  }

  public func removeDirectory(_ path: String) throws(DiskError) {
    guard rmdir(path) == 0 else { throw DiskError(last: .removeDirectory, path) }
  }

  public func list(_ directory: String) throws(DiskError) -> [String] {
    guard let stream = opendir(directory) else { throw DiskError(last: .list, directory) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw DiskError(last: .list, directory) }
        break
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    guard syncs else { return }
    let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw DiskError(last: .syncDirectory, path) }
    defer { Glibc.close(descriptor) }
    guard retrying({ fsync(descriptor) }) == 0 else { throw DiskError(last: .syncDirectory, path) }
  }

  public func exists(_ path: String) throws(DiskError) -> Bool {
    var status = stat()
    if stat(path, &status) == 0 { return true }
    let failure = DiskError(last: .exists, path)
    guard failure.code == .notFound else { throw failure }
    return false
  }

  public func lock(_ path: String) throws(DiskError) -> any DiskLock {
    let descriptor = retrying { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
    guard descriptor >= 0 else { throw DiskError(last: .lock, path) }
    guard retrying({ flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 else {
      let failure = DiskError(last: .lock, path)
      Glibc.close(descriptor)
      throw failure
    }
    return PosixLock(descriptor: descriptor)
  }
}

/// An open file descriptor.
private final class PosixFile: DiskFile {
  let path: String
  private var descriptor: Int32
  private let syncs: Bool

  init(path: String, descriptor: Int32, syncs: Bool) {
    self.path = path
    self.descriptor = descriptor
    self.syncs = syncs
  }

  deinit { close() }

  func size() throws(DiskError) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw DiskError(last: .size, path) }
    return Int(status.st_size)
  }

  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    var done = 0
    while done < buffer.count, let base = buffer.baseAddress {
      let count = retrying { pread(descriptor, base + done, buffer.count - done, offset + done) }
      guard count >= 0 else { throw DiskError(last: .read, path) }
      if count == 0 { break }
      done += count
    }
    return done
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
    try write(bytes, at: offset, for: .write)
  }

  private func write(
    _ bytes: UnsafeRawBufferPointer, at offset: Int, for operation: DiskError.Operation
  ) throws(DiskError) {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = retrying { pwrite(descriptor, base + done, bytes.count - done, offset + done) }
      guard count >= 0 else { throw DiskError(last: operation, path) }
      // A write of nothing would repeat for ever; Linux does it only where it cannot go on.
      guard count > 0 else { throw DiskError(operation, path, .inputOutput) }
      done += count
    }
  }

  func truncate(to size: Int) throws(DiskError) {
    guard retrying({ ftruncate(descriptor, size) }) == 0 else { throw DiskError(last: .truncate, path) }
  }

  func preallocate(to size: Int) throws(DiskError) {
    var end = try self.size()
    guard end < size else { return }
    // fallocate would leave unwritten extents, whose conversion costs each later sync as much as extending.
    let zeros = [UInt8](repeating: 0, count: min(size - end, 1 << 20))
    while end < size {
      let count = min(zeros.count, size - end)
      try zeros.withUnsafeBufferPointer { (all) throws(DiskError) in
        try write(UnsafeRawBufferPointer(start: all.baseAddress, count: count), at: end, for: .preallocate)
      }
      end += count
    }
  }

  func startWriteback() throws(DiskError) {
    let status = cairn_file_start_writeback(descriptor)
    if status != 0 { throw DiskError(.sync, path, DiskError.Code(rawValue: status)) }
  }

  func syncData() throws(DiskError) {
    guard syncs else { return }
    guard retrying({ fdatasync(descriptor) }) == 0 else { throw DiskError(last: .sync, path) }
  }

  func close() {
    guard descriptor >= 0 else { return }
    Glibc.close(descriptor)
    descriptor = -1
  }
}

/// Closing the descriptor gives the lock back.
private final class PosixLock: DiskLock, Sendable {
  private let descriptor: Descriptor

  init(descriptor: Int32) { self.descriptor = Descriptor(descriptor) }
  deinit { release() }
  func release() { descriptor.close() }
}

/// Repeats a system call that a signal interrupted. (Not used for fdatasync's other errors: those are final.)
private func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}
