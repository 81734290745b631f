public import Disk
internal import Model
internal import Primitives
internal import Snapshot
internal import Store

/// What `snapshot status` tells.
public struct SnapshotStatus: Hashable, Sendable {
  /// CRC-32C over the name of each table and its rows, keys and values in order, as etcdutl makes it over its
  /// buckets.
  public var hash: UInt32
  public var revision: Int64
  /// Keys that exist at that revision.
  public var totalKey: Int
  /// Bytes of the file, without a SHA-256 that `etcdctl snapshot save` put behind it.
  public var totalSize: Int
  /// The storage version, as Status reports it.
  public var version: String

  /// The storage version that goes with this format.
  public static let storageVersion = Version.cluster

  /// Verifies a snapshot file, every row of it, and tells what it holds.
  public static func read(
    disk: any Disk, path: String, report: @escaping ProgressReport
  ) throws(OfflineError) -> SnapshotStatus {
    let file = try SnapshotFile(disk: disk, path: path, report: report)
    var status = SnapshotStatus(
      hash: 0, revision: file.reader.header.revision, totalKey: 0, totalSize: file.reader.summary.bytes,
      version: storageVersion)
    var table: Table?
    try file.forEachRow(step: "read") { (row) throws(OfflineError) in
      guard row.isIntact else {
        throw .store(
          .corrupt(file: path, table: row.table, key: Array(row.key), reason: "checksum or form"))
      }
      if table != row.table {
        table = row.table
        status.hash = CRC32C.checksum(Array("\(row.table)".utf8), seed: status.hash)
      }
      status.hash = CRC32C.checksum(row.value, seed: CRC32C.checksum(row.key, seed: status.hash))
      if row.isLiveKey { status.totalKey += 1 }
    }
    return status
  }
}
