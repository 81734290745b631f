public import Disk
import Primitives
import Synchronization

/// A member's place on disk, locked for this process.
///
///     <data-dir>/                         0700
///       member/
///         LOCK                            held while a process uses the directory
///         CURRENT                         format version and the store in use, see `CurrentPointer`
///         store/<generation, 16 hex>.mdb  the store; a switch (defrag, received snapshot) adds the next one
///         wal/                            the log's segments and lock, unless --wal-dir is given
///         snap/                           snapshot files being received or exported
///
/// `CURRENT` is written last when a member is created and is the only thing a switch of stores changes: a crash at
/// any point leaves the old store in use or the new one, and `open` removes what no pointer names.
public final class DataDirectory: Sendable {
  public let path: String
  public let memberPath: String
  public let walPath: String
  public let snapshotPath: String
  /// The store file that `CURRENT` named at the start.
  public let storePath: String
  /// True if this call created the member. A crash between creation and the first durable state makes it false with an
  /// empty store: whether there is state is the store's and the log's to say.
  public let isNew: Bool
  /// The directories that were there before this call, whose permissions others chose.
  public let found: [String]
  private let lock: any DiskLock
  /// The generation that `CURRENT` names.
  let generation: Mutex<UInt64>

  private init(
    path: String, walPath: String, generation: UInt64, isNew: Bool, found: [String],
    lock: any DiskLock
  ) {
    self.path = path
    self.memberPath = "\(path)/member"
    self.walPath = walPath
    self.snapshotPath = "\(path)/member/snap"
    self.storePath = Self.storePath(member: "\(path)/member", generation)
    self.isNew = isNew
    self.found = found
    self.lock = lock
    self.generation = Mutex(generation)
  }

  /// What `open` does when there is no member yet.
  public enum Absence: Sendable {
    case create
    /// Throws `DataDirectoryError.missing` and makes nothing.
    case refuse
  }

  /// Opens or creates; refuses data of another program, of a later format, and a directory in use.
  ///
  /// - Parameters:
  ///   - walPath: a directory of its own for the log, or nil.
  ///   - lock: that of `member/LOCK`, if the caller holds it already.
  public static func open(
    _ path: String, walPath: String?, disk: any Disk, absence: Absence = .create,
    holding lock: (any DiskLock)? = nil
  ) throws(DataDirectoryError) -> DataDirectory {
    let result: Result<DataDirectory, DataDirectoryError>
    do throws(DiskError) {
      result = try tryOpen(path, walPath: walPath, disk: disk, absence, lock)
    } catch {
      throw .disk(error)
    }
    return try result.get()
  }

  /// Gives the lock back; the process must not touch the directory afterwards.
  public func close() { lock.release() }

  static func storePath(member: String, _ generation: UInt64) -> String {
    "\(member)/store/\(CurrentPointer.name(generation)).mdb"
  }

  private static func tryOpen(
    _ path: String, walPath: String?, disk: any Disk, _ absence: Absence, _ held: (any DiskLock)?
  ) throws(DiskError) -> Result<DataDirectory, DataDirectoryError> {
    let member = "\(path)/member"
    let wal = walPath ?? "\(member)/wal"
    if try disk.exists(member), try disk.exists("\(path)/proxy") { return .failure(.memberAndProxy(path)) }
    if absence == .refuse, try !disk.exists(member) { return .failure(.missing(path)) }
    var foundDirectories: [String] = []
    for directory in [path, member] + (walPath.map { [$0] } ?? []) {
      if try disk.exists(directory) {
        foundDirectories.append(directory)
      } else {
        try disk.createDirectories(directory)
      }
    }
    let lock: any DiskLock
    do throws(DiskError) {
      lock = if let held { held } else { try disk.lock("\(member)/LOCK") }
    } catch {
      guard error.code == .locked else { throw error }
      return .failure(.inUse(member))
    }
    let found = try identify(member: member, wal: wal, disk: disk)
    let pointer: CurrentPointer
    switch found {
    case .failure(let error):
      lock.release()
      return .failure(error)
    case .success(.some(let current)): pointer = current
    case .success(.none) where absence == .refuse:
      lock.release()
      return .failure(.missing(path))
    case .success(.none):
      pointer = CurrentPointer(generation: 1)
      try create(pointer, member: member, disk: disk)
    }
    try removeStrays(pointer, member: member, disk: disk)
    return .success(
      DataDirectory(
        path: path, walPath: wal, generation: pointer.generation, isNew: (try? found.get()) == .some(.none),
        found: foundDirectories, lock: lock))
  }

  /// The pointer of a member, or nil if there is none yet.
  private static func identify(
    member: String, wal: String, disk: any Disk
  ) throws(DiskError) -> Result<CurrentPointer?, DataDirectoryError> {
    let current = "\(member)/CURRENT"
    if try disk.exists(current) {
      let bytes = try disk.readAll(current, limit: CurrentPointer.bytesMax)
      return CurrentPointer.decode(bytes, path: current).map { $0 }
    }
    if try disk.exists("\(member)/snap/db") { return .failure(.etcdData(member)) }
    for directory in ["\(member)/wal", wal, "\(member)/store", "\(member)/snap"] {
      // The log puts a lock file into its directory.
      guard try disk.exists(directory), case let names = try disk.list(directory), names != ["lock"],
        !names.isEmpty
      else { continue }
      let isEtcd = directory == "\(member)/wal" && names.contains { $0.hasSuffix(".wal") }
      return .failure(isEtcd ? .etcdData(member) : .foreign(directory))
    }
    let ours: Set<String> = ["LOCK", CurrentPointer.temporaryName, "wal", "store", "snap"]
    if try disk.list(member).contains(where: { !ours.contains($0) }) { return .failure(.foreign(member)) }
    return .success(nil)
  }

  private static func create(
    _ pointer: CurrentPointer, member: String, disk: any Disk
  ) throws(DiskError) {
    for name in ["wal", "store", "snap"] { try disk.createDirectories("\(member)/\(name)") }
    try pointer.write(to: member, disk: disk)
  }

  /// Removes what a crash in the middle of a switch left behind: never the store in use.
  private static func removeStrays(
    _ pointer: CurrentPointer, member: String, disk: any Disk
  ) throws(DiskError) {
    let temporary = "\(member)/\(CurrentPointer.temporaryName)"
    if try disk.exists(temporary) {
      try disk.remove(temporary)
      try disk.syncDirectory(member)
    }
    let kept = CurrentPointer.name(pointer.generation)
    let strays = try disk.list("\(member)/store").filter { !$0.hasPrefix(kept) }
    for name in strays { try disk.remove("\(member)/store/\(name)") }
    if !strays.isEmpty { try disk.syncDirectory("\(member)/store") }
  }
}
