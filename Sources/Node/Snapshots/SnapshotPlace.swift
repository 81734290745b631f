public import Disk
internal import Model
public import Store

/// Where a member keeps the snapshots that it sends and receives, and where the data file goes that replaces its own.
public struct SnapshotPlace: Sendable {
  public var disk: any Disk
  /// Holds nothing but snapshot files.
  public var directory: String
  /// The place of the next data file; called for each installation.
  public var plan: @Sendable () -> DefragmentPlan

  public init(disk: any Disk, directory: String, plan: @escaping @Sendable () -> DefragmentPlan) {
    self.disk = disk
    self.directory = directory
    self.plan = plan
  }

  private static let receivedPrefix = "received-"
  private static let exportedPrefix = "export-"

  /// Follows from what the log's marker says, so that a start finds it.
  func receivedPath(_ metadata: SnapshotMetadata) -> String {
    "\(directory)/\(Self.receivedPrefix)\(hexadecimal(metadata.term))-\(hexadecimal(metadata.index)).snap"
  }

  func exportPath(number: UInt64) -> String {
    "\(directory)/\(Self.exportedPrefix)\(hexadecimal(number)).snap"
  }

  /// Removes what earlier runs left behind, except for the snapshot that is still to be installed.
  func removeStrays(keeping path: String?) throws(DiskError) {
    guard try disk.exists(directory) else { return }
    var isChanged = false
    for name in try disk.list(directory) {
      guard name.hasPrefix(Self.receivedPrefix) || name.hasPrefix(Self.exportedPrefix),
        "\(directory)/\(name)" != path
      else { continue }
      try disk.remove("\(directory)/\(name)")
      isChanged = true
    }
    if isChanged { try disk.syncDirectory(directory) }
  }
}

private func hexadecimal(_ number: UInt64) -> String {
  let digits = String(number, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
