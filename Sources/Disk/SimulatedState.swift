import Primitives

/// What a simulated disk holds: the files and names as the running program sees them, as they are on the
/// platter, and the changes between the two.
struct SimulatedState {
  static let sectorBytes = 512

  /// A change of a file's bytes or size that no sync has made durable.
  struct PendingChange {
    enum Kind {
      case write([UInt8], at: Int)
      case truncate(to: Int)
    }
    var kind: Kind
    /// Set by a failed sync: the kernel took the pages for clean, so no later sync writes them.
    var isAbandoned = false
  }

  struct Inode {
    var current: [UInt8] = []
    var durable: [UInt8] = []
    var pending: [PendingChange] = []
  }

  enum Node: Hashable {
    case directory
    case file(inode: Int)
  }

  /// A change of names that is atomic: one name given or taken, or both in a rename.
  struct NameChange {
    var names: [(path: String, node: Node?)]
  }

  var inodes: [Inode] = []
  var names: [String: Node] = ["/": .directory]
  var durableNames: [String: Node] = ["/": .directory]
  var pendingNames: [NameChange] = []
  var locks: Set<String> = []
  /// Counts crashes; handles of an earlier generation are closed.
  var generation = 0
  var faults: Faults
  /// Operations begun since the disk was made; the number of the next one.
  var operationCount = 0

  init(random: SeededRandom) { faults = Faults(random: random) }
}

// MARK: Names

extension SimulatedState {
  mutating func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> Int {
    let creates = mode == .create
    let fault = try begin(creates ? .create : .open, path)
    switch names[path] {
    case .file(let inode):
      if creates { throw DiskError(.create, path, .exists) }
      try end(fault, .open, path)
      return inode
    case .directory:
      throw DiskError(creates ? .create : .open, path, creates ? .exists : .isDirectory)
    case nil:
      guard creates else { throw DiskError(.open, path, .notFound) }
      try requireParent(of: path, .create)
      inodes.append(Inode())
      change([(path, .file(inode: inodes.count - 1))], fault)
      try end(fault, .create, path)
      return inodes.count - 1
    }
  }

  mutating func createDirectory(_ path: String) throws(DiskError) {
    let fault = try begin(.createDirectory, path)
    switch names[path] {
    case .directory: try end(fault, .createDirectory, path)
    case .file: throw DiskError(.createDirectory, path, .exists)
    case nil:
      try requireParent(of: path, .createDirectory)
      change([(path, .directory)], fault)
      try end(fault, .createDirectory, path)
    }
  }

  mutating func rename(_ path: String, to newPath: String) throws(DiskError) {
    let fault = try begin(.rename, path)
    guard case .file(let inode) = names[path] else { throw DiskError(.rename, path, .notFound) }
    if names[newPath] == .directory { throw DiskError(.rename, newPath, .isDirectory) }
    try requireParent(of: newPath, .rename)
    if path != newPath { change([(path, nil), (newPath, .file(inode: inode))], fault) }
    try end(fault, .rename, path)
  }

  mutating func remove(_ path: String) throws(DiskError) {
    let fault = try begin(.remove, path)
    switch names[path] {
    case .file: change([(path, nil)], fault)
    case .directory: throw DiskError(.remove, path, .isDirectory)
    case nil: throw DiskError(.remove, path, .notFound)
    }
    try end(fault, .remove, path)
  }

  mutating func removeDirectory(_ path: String) throws(DiskError) {
    let fault = try begin(.removeDirectory, path)
    guard names[path] == .directory else { throw DiskError(.removeDirectory, path, .notFound) }
    guard !names.keys.contains(where: { $0 != path && parentDirectory(of: $0) == path }) else {
      throw DiskError(.removeDirectory, path, .notEmpty)
    }
    change([(path, nil)], fault)
    try end(fault, .removeDirectory, path)
  }

  mutating func list(_ directory: String) throws(DiskError) -> [String] {
    let fault = try begin(.list, directory)
    try end(fault, .list, directory)
    guard names[directory] == .directory else { throw DiskError(.list, directory, .notFound) }
    let prefix = directory == "/" ? 1 : directory.utf8.count + 1
    return names.keys
      .filter { $0 != "/" && parentDirectory(of: $0) == directory }
      .map { String(decoding: $0.utf8.dropFirst(prefix), as: UTF8.self) }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  mutating func exists(_ path: String) throws(DiskError) -> Bool {
    let fault = try begin(.exists, path)
    try end(fault, .exists, path)
    return names[path] != nil
  }

  mutating func lock(_ path: String) throws(DiskError) {
    if names[path] == nil { _ = try open(path, .create) }
    guard locks.insert(path).inserted else { throw DiskError(.lock, path, .locked) }
  }

  mutating func syncDirectory(_ path: String) throws(DiskError) {
    let fault = try begin(.syncDirectory, path)
    guard names[path] == .directory else { throw DiskError(.syncDirectory, path, .notFound) }
    try end(fault, .syncDirectory, path)
    var rest: [NameChange] = []
    for change in pendingNames {
      // A rename between two directories is one journal record: it is durable with either of them.
      if change.names.contains(where: { parentDirectory(of: $0.path) == path }) {
        for (path, node) in change.names { durableNames[path] = node }
      } else {
        rest.append(change)
      }
    }
    pendingNames = rest
  }

  private mutating func change(_ changed: [(path: String, node: Node?)], _ fault: Faults.Outcome) {
    // Of a change that failed with EIO nobody knows whether it was done.
    if case .error(let code) = fault, code != .inputOutput || faults.random.chance(1, in: 2) { return }
    for (path, node) in changed { names[path] = node }
    pendingNames.append(NameChange(names: changed))
  }

  private func requireParent(of path: String, _ operation: DiskError.Operation) throws(DiskError) {
    guard names[parentDirectory(of: path)] == .directory else { throw DiskError(operation, path, .notFound) }
  }
}

// MARK: Bytes

extension SimulatedState {
  mutating func read(
    _ inode: Int, _ path: String, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(DiskError) -> Int {
    let fault = try begin(.read, path)
    try end(fault, .read, path)
    let count = max(0, min(buffer.count, inodes[inode].current.count - offset))
    guard count > 0 else { return 0 }
    inodes[inode].current.withUnsafeBytes { bytes in
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)]))
    }
    return count
  }

  mutating func write(
    _ inode: Int, _ path: String, _ bytes: [UInt8], at offset: Int, for operation: DiskError.Operation
  ) throws(DiskError) {
    let fault = try begin(operation, path)
    let growth = offset + bytes.count - inodes[inode].current.count
    if growth > 0, let room = freeBytes, growth > room { throw DiskError(operation, path, .noSpace) }
    var written = bytes
    // A failing write may have got anywhere; a power cut decides sector by sector at the crash.
    if case .error = fault { written = Array(bytes.prefix(faults.random.below(bytes.count + 1))) }
    let change = PendingChange(kind: .write(written, at: offset))
    apply(change.kind, to: &inodes[inode].current)
    inodes[inode].pending.append(change)
    try end(fault, operation, path)
  }

  mutating func truncate(_ inode: Int, _ path: String, to size: Int) throws(DiskError) {
    let fault = try begin(.truncate, path)
    apply(.truncate(to: size), to: &inodes[inode].current)
    inodes[inode].pending.append(PendingChange(kind: .truncate(to: size)))
    try end(fault, .truncate, path)
  }

  mutating func sync(_ inode: Int, _ path: String) throws(DiskError) {
    let fault = try begin(.sync, path)
    if case .error = fault {
      for index in inodes[inode].pending.indices { inodes[inode].pending[index].isAbandoned = true }
    }
    try end(fault, .sync, path)
    var rest: [PendingChange] = []
    for change in inodes[inode].pending {
      if change.isAbandoned { rest.append(change) } else { apply(change.kind, to: &inodes[inode].durable) }
    }
    inodes[inode].pending = rest
  }

  private var freeBytes: Int? {
    faults.capacityBytes.map { capacity in
      var used = 0
      for node in names.values {
        if case .file(let inode) = node { used += inodes[inode].current.count }
      }
      return capacity - used
    }
  }
}

/// Does a change to a file's bytes.
func apply(_ kind: SimulatedState.PendingChange.Kind, to bytes: inout [UInt8]) {
  switch kind {
  case .truncate(let size): resize(&bytes, to: size)
  case .write(let written, let offset):
    if written.isEmpty { return }
    if bytes.count < offset + written.count { resize(&bytes, to: offset + written.count) }
    bytes.withUnsafeMutableBytes { all in
      UnsafeMutableRawBufferPointer(rebasing: all[offset...]).copyBytes(from: written)
    }
  }
}

private func resize(_ bytes: inout [UInt8], to size: Int) {
  if size < bytes.count {
    bytes.removeLast(bytes.count - size)
  } else {
    bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
  }
}

extension SeededRandom {
  /// A number in `0..<bound`.
  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}
