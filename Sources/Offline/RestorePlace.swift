internal import Disk
internal import Model
internal import Node

/// Where a restore builds, and how what it built comes to its place.
struct RestorePlace {
  private let disk: any Disk
  private let target: String
  private let logTarget: String?

  /// Lies in a log's directory until the data directory is in its place.
  private static let mark = "restoring"

  init(_ plan: RestorePlan, disk: any Disk) {
    self.disk = disk
    target = Self.withoutTrailingSlash(plan.dataDirectory)
    logTarget = plan.logDirectory.map(Self.withoutTrailingSlash)
  }

  private static func withoutTrailingSlash(_ path: String) -> String {
    var path = Substring(path)
    while path.utf8.count > 1, path.hasSuffix("/") { path = path.dropLast() }
    return String(path)
  }

  /// The directory beside the target.
  var building: String { target + ".restoring" }
  /// The log's directory beside its target; of use only if it has one.
  var buildingLog: String {
    (logTarget ?? target) + (logTarget == nil ? ".restoring/member/wal" : ".restoring")
  }

  /// Refuses a target that holds anything, in etcd's words.
  func checkTarget() throws(OfflineError) {
    if try onDisk({ () throws(DiskError) in try disk.exists(target) }) {
      let names: [String]
      do throws(DiskError) { names = try disk.list(target) } catch { throw .dataDirectoryNotEmpty(target) }
      guard names.isEmpty else { throw .dataDirectoryNotEmpty(target) }
    }
    guard let logTarget, try onDisk({ () throws(DiskError) in try disk.exists(logTarget) }) else { return }
    let isLeftover = try onDisk { () throws(DiskError) in try disk.exists("\(logTarget)/\(Self.mark)") }
    guard isLeftover else { throw .logDirectoryExists(logTarget) }
  }

  /// Makes the directory to build in, locked, with nothing in it that an earlier restore left.
  func prepare() throws(OfflineError) -> any DiskLock {
    try onDisk { () throws(DiskError) in try disk.createDirectories("\(building)/member") }
    let lock: any DiskLock
    do throws(DiskError) { lock = try disk.lock("\(building)/member/LOCK") } catch {
      throw error.code == .locked ? .directory(.inUse(building)) : .disk(error)
    }
    do throws(DiskError) {
      try removeContent(keepingLock: true)
      if let logTarget {
        try removeLog(buildingLog)
        try removeLog(logTarget)
        try disk.createDirectories(buildingLog)
        try disk.open("\(buildingLog)/\(Self.mark)", .create).close()
      }
    } catch {
      lock.release()
      throw .disk(error)
    }
    return lock
  }

  /// Moves what was built, complete and synced, to its place.
  func adopt() throws(OfflineError) {
    try onDisk { () throws(DiskError) in
      if let logTarget {
        try disk.syncDirectory(buildingLog)
        try disk.rename(buildingLog, to: logTarget)
        try disk.syncDirectory(parentDirectory(of: logTarget))
      }
      try disk.syncDirectory("\(building)/member")
      try disk.syncDirectory(building)
      // An empty directory in the target's place is replaced by it.
      try disk.rename(building, to: target)
      try disk.syncDirectory(parentDirectory(of: target))
      if let logTarget {
        try disk.remove("\(logTarget)/\(Self.mark)")
        try disk.syncDirectory(logTarget)
      }
    }
  }

  /// Removes what was built.
  func removeQuietly() {
    do throws(DiskError) {
      try removeContent(keepingLock: false)
      try disk.removeDirectory("\(building)/member")
      try disk.removeDirectory(building)
      if logTarget != nil { try removeLog(buildingLog) }
    } catch {
      // It stays until the next restore to this place removes it; what is reported is why this one failed.
      return
    }
  }

  // MARK: removal

  /// Removes the files of a member by the names they have, and never follows a link out of the directory.
  private func removeContent(keepingLock: Bool) throws(DiskError) {
    let member = "\(building)/member"
    for name in ["store", "wal", "snap"] where try disk.exists("\(member)/\(name)") {
      try removeFiles(in: "\(member)/\(name)")
      try disk.removeDirectory("\(member)/\(name)")
    }
    for name in ["CURRENT", "CURRENT.new"] + (keepingLock ? [] : ["LOCK"])
    where try disk.exists("\(member)/\(name)") {
      try disk.remove("\(member)/\(name)")
    }
  }

  private func removeLog(_ directory: String) throws(DiskError) {
    guard try disk.exists(directory) else { return }
    // The mark last: as long as anything is left, the next restore may remove it.
    for name in try disk.list(directory) where name != Self.mark { try disk.remove("\(directory)/\(name)") }
    for name in try disk.list(directory) { try disk.remove("\(directory)/\(name)") }
    try disk.removeDirectory(directory)
  }

  private func removeFiles(in directory: String) throws(DiskError) {
    for name in try disk.list(directory) { try disk.remove("\(directory)/\(name)") }
  }
}
