public import Disk

/// A member's directory as it lies there, locked and otherwise untouched: for a check, which also wants to see what
/// `DataDirectory.open` would refuse or tidy up.
public struct DirectoryInspection: Sendable {
  public let memberPath: String
  public let walPath: String
  /// The store that `CURRENT` names, or why it names none.
  public let storePath: Result<String, DataDirectoryError>
  /// All files of stores, by name; more than one after a crash in the middle of a switch.
  public let storeFiles: [String]
  /// Finished snapshot files, by name.
  public let snapshotFiles: [String]
  private let lock: any DiskLock

  public init(_ path: String, walPath: String?, disk: any Disk) throws(DataDirectoryError) {
    do throws(DiskError) {
      let member = "\(path)/member"
      guard try disk.exists(member) else { throw DiskError(.open, member, .notFound) }
      lock = try disk.lock("\(member)/LOCK")
      memberPath = member
      self.walPath = walPath ?? "\(member)/wal"
      storePath = try Self.pointer(member, disk)
      storeFiles = try Self.names(in: "\(member)/store", disk) { $0.hasSuffix(".mdb") }
      snapshotFiles = try Self.names(in: "\(member)/snap", disk) { !$0.hasSuffix(".part") }
    } catch {
      switch error.code {
      case .locked: throw .inUse("\(path)/member")
      case .notFound where error.path == "\(path)/member": throw .missing(path)
      default: throw .disk(error)
      }
    }
  }

  /// Gives the lock back.
  public func close() { lock.release() }

  private static func pointer(
    _ member: String, _ disk: any Disk
  ) throws(DiskError) -> Result<String, DataDirectoryError> {
    let path = "\(member)/CURRENT"
    guard try disk.exists(path) else {
      return .failure(try disk.exists("\(member)/snap/db") ? .etcdData(member) : .missing(member))
    }
    let bytes: [UInt8]
    do throws(DiskError) { bytes = try disk.readAll(path, limit: CurrentPointer.bytesMax) } catch {
      guard error.code == .fileTooLarge else { throw error }
      return .failure(.damagedPointer(path))
    }
    return CurrentPointer.decode(bytes, path: path).map {
      DataDirectory.storePath(member: member, $0.generation)
    }
  }

  private static func names(
    in directory: String, _ disk: any Disk, where isWanted: (String) -> Bool
  ) throws(DiskError) -> [String] {
    guard try disk.exists(directory) else { return [] }
    return try disk.list(directory).filter(isWanted).map { "\(directory)/\($0)" }
  }
}
