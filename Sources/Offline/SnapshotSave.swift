public import Disk
internal import Node
internal import Snapshot
internal import Store

/// What a save wrote.
public struct SaveReport: Hashable, Sendable {
  public var revision: Int64
  public var appliedIndex: UInt64
  public var bytes: Int
  public var rows: UInt64
  /// Entries that were in the log and not yet in the data file.
  public var replayed: Int
  /// Entries of the log of which this member cannot tell whether they were committed, see `LogReplay`.
  public var unconfirmed: UInt64
}

/// Writes a snapshot of a stopped member, its log included.
public enum SnapshotSave {
  /// The snapshot is durable and complete when this returns, absent otherwise. What was only in the log is put into the
  /// member's data file as well, as its next start would do.
  public static func run(
    _ place: MemberPlace, to path: String, disk: any Disk, report: @escaping ProgressReport
  ) throws(OfflineError) -> SaveReport {
    guard try !onDisk({ () throws(DiskError) in try disk.exists(path) }) else { throw .fileExists(path) }
    let member = try OfflineMember(place, disk: disk)
    let replayed = try member.replay(commit: true, report: report)
    let (rows, size, revision) = try onStore { () throws(StoreError) in
      let export = try member.store.export(fileGrowthBytesMax: .max)
      defer { export.end() }
      return (try export.rowCount(), try member.store.sizes().databaseInUseBytes, export.revision)
    }
    let summary: SnapshotSummary
    do throws(SnapshotExportError) {
      summary = try member.store.writeSnapshot(
        disk: disk, to: path, fileGrowthBytesMax: .max, pacing: .alone
      ) { progress in
        let part = rows > 0 ? Double(progress.rows) / Double(rows) : 1
        report(OfflineProgress(step: "save", done: Int(part * Double(size)), total: Int(size)))
      }
    } catch {
      throw .export(error)
    }
    return SaveReport(
      revision: revision, appliedIndex: replayed.appliedIndex, bytes: summary.bytes, rows: summary.rows,
      replayed: replayed.entries, unconfirmed: replayed.unconfirmed)
  }
}
