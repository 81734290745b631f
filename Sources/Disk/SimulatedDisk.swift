import Primitives
import Synchronization

/// A disk in memory that can lose power. It keeps what was synced and, at the crash, any part of what was not:
/// writes by sectors of 512 bytes, names one by one, in any order (see `crash`). Faults can be asked for by the
/// number of an operation or at random. Everything is a function of the calls and the seeds.
///
/// Open files and locks end with a crash: their later calls fail with EBADF. Any thread may use the disk.
public final class SimulatedDisk: Disk {
  let state: Mutex<SimulatedState>

  /// A disk with the root directory only. `seed` decides what a failing operation leaves behind.
  public init(seed: UInt64 = 0) {
    state = Mutex(SimulatedState(random: SeededRandom(seed: seed)))
  }

  init(state: sending SimulatedState) { self.state = Mutex(state) }

  public func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
    let (inode, generation) = try state.withLock { (state) throws(DiskError) -> (Int, Int) in
      (try state.open(normalized(path), mode), state.generation)
    }
    return SimulatedFile(disk: self, path: path, inode: inode, generation: generation)
  }

  public func createDirectory(_ path: String) throws(DiskError) {
    try state.withLock { (state) throws(DiskError) in try state.createDirectory(normalized(path)) }
  }

  public func rename(_ path: String, to newPath: String) throws(DiskError) {
    try state.withLock { (state) throws(DiskError) in
      try state.rename(normalized(path), to: normalized(newPath))
    }
  }

  public func remove(_ path: String) throws(DiskError) {
    try state.withLock { (state) throws(DiskError) in try state.remove(normalized(path)) }
  }

  public func removeDirectory(_ path: String) throws(DiskError) {
    try state.withLock { (state) throws(DiskError) in try state.removeDirectory(normalized(path)) }
  }

  public func list(_ directory: String) throws(DiskError) -> [String] {
    try state.withLock { (state) throws(DiskError) in try state.list(normalized(directory)) }
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    try state.withLock { (state) throws(DiskError) in try state.syncDirectory(normalized(path)) }
  }

  public func exists(_ path: String) throws(DiskError) -> Bool {
    try state.withLock { (state) throws(DiskError) in try state.exists(normalized(path)) }
  }

  public func lock(_ path: String) throws(DiskError) -> any DiskLock {
    let generation = try state.withLock { (state) throws(DiskError) -> Int in
      try state.lock(normalized(path))
      return state.generation
    }
    return SimulatedLock(disk: self, path: normalized(path), generation: generation)
  }
}

/// A handle of a simulated file; it outlives renames and removals of the name, but not a crash.
private final class SimulatedFile: DiskFile {
  let path: String
  private let disk: SimulatedDisk
  private let inode: Int
  private let generation: Int
  private var isOpen = true

  init(disk: SimulatedDisk, path: String, inode: Int, generation: Int) {
    self.disk = disk
    self.path = path
    self.inode = inode
    self.generation = generation
  }

  private func check(_ operation: DiskError.Operation, _ state: SimulatedState) throws(DiskError) {
    guard isOpen, generation == state.generation else { throw DiskError(operation, path, .badHandle) }
  }

  func size() throws(DiskError) -> Int {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.size, state)
      return state.inodes[inode].current.count
    }
  }

  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.read, state)
      return try state.read(inode, path, at: offset, into: buffer)
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.write, state)
      try state.write(inode, path, [UInt8](bytes), at: offset, for: .write)
    }
  }

  func truncate(to size: Int) throws(DiskError) {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.truncate, state)
      try state.truncate(inode, path, to: size)
    }
  }

  func preallocate(to size: Int) throws(DiskError) {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.preallocate, state)
      let end = state.inodes[inode].current.count
      guard end < size else { return }
      try state.write(inode, path, [UInt8](repeating: 0, count: size - end), at: end, for: .preallocate)
    }
  }

  func syncData() throws(DiskError) {
    try disk.state.withLock { (state) throws(DiskError) in
      try check(.sync, state)
      try state.sync(inode, path)
    }
  }

  func close() { isOpen = false }
}

private final class SimulatedLock: DiskLock {
  private let disk: SimulatedDisk
  private let path: String
  private let generation: Int

  init(disk: SimulatedDisk, path: String, generation: Int) {
    self.disk = disk
    self.path = path
    self.generation = generation
  }

  deinit { release() }

  func release() {
    disk.state.withLock { state in
      if state.generation == generation { state.locks.remove(path) }
    }
  }
}

/// "/a//b/" and "/a/b" are one name; a relative path counts from the root.
private func normalized(_ path: String) -> String {
  "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
}
