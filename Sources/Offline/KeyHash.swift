public import Disk
internal import Model
internal import Node
internal import Snapshot
internal import Store

/// HashKV of a store that is not served.
public struct KeyHash: Hashable, Sendable {
  public var hash: UInt32
  public var hashRevision: Int64
  /// -1 before the first compaction.
  public var compactRevision: Int64

  private static let rowsPerStep = 4096

  /// Of a stopped member, with what is only in its log. Changes nothing on disk. Revision 0 is the current one.
  public static func of(
    _ place: MemberPlace, revision: Int64, disk: any Disk, report: @escaping ProgressReport
  ) throws(OfflineError) -> KeyHash {
    let member = try OfflineMember(place, disk: disk)
    _ = try member.replay(commit: false, report: report)
    return try hash(of: member.store, revision, report)
  }

  /// Of a snapshot file. Its rows are laid out as a store first, in a file that is removed afterwards: which rows
  /// count depends on rows that come later.
  ///
  /// - Parameter scratchPath: where that file is to be; nothing may be there.
  public static func of(
    snapshot path: String, revision: Int64, scratchPath: String, disk: any Disk,
    report: @escaping ProgressReport
  ) throws(OfflineError) -> KeyHash {
    let file = try SnapshotFile(disk: disk, path: path, report: report)
    guard try !onDisk({ () throws(DiskError) in try disk.exists(scratchPath) }) else {
      throw .fileExists(scratchPath)
    }
    defer { removeScratch(scratchPath, disk) }
    try layOut(file, at: scratchPath)
    let store = try onStore { () throws(StoreError) in
      try Store.open(path: scratchPath, options: .offline, identity: nil)
    }
    return try hash(of: store, revision, report)
  }

  /// The file is closed when this returns.
  private static func layOut(_ file: SnapshotFile, at path: String) throws(OfflineError) {
    let header = file.reader.header
    let importer = try onStore { () throws(StoreError) in
      try StoreImporter(
        path: path, options: .offline,
        identity: StoreIdentity(clusterID: header.clusterID, memberID: header.memberID))
    }
    try file.forEachRow(step: "lay out") { (row) throws(OfflineError) in
      try onStore { () throws(StoreError) in
        try importer.append(table: row.table, key: row.key, value: row.value)
      }
    }
    _ = try onStore { () throws(StoreError) in try importer.finish() }
  }

  private static func removeScratch(_ path: String, _ disk: any Disk) {
    for name in [path, path + "-lock"] {
      do throws(DiskError) { try disk.remove(name) } catch { continue }
    }
  }

  private static func hash(
    of store: Store, _ revision: Int64, _ report: ProgressReport
  ) throws(OfflineError) -> KeyHash {
    guard revision >= 0 else { throw .invalid("a revision is not negative: \(revision)") }
    let view = try onStore { () throws(StoreError) in try store.view() }
    defer { view.end() }
    var cursor: KeyValueHash
    switch try onStore({ () throws(StoreError) in try KeyValueHash.start(revision, in: view) }) {
    case .success(let started): cursor = started
    case .failure(let error):
      throw .invalid(error.message.replacingPrefix("etcdserver: ", with: ""))
    }
    while true {
      let step = try onStore { () throws(StoreError) in try cursor.advance(rows: rowsPerStep) }
      if case .done(let hash) = step {
        return KeyHash(
          hash: hash, hashRevision: cursor.hashRevision, compactRevision: cursor.compactRevision)
      }
      report(
        OfflineProgress(
          step: "hash", done: Int(clamping: cursor.nextRevision), total: Int(clamping: cursor.hashRevision),
          unit: .items))
    }
  }
}

extension String {
  fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String {
    hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
  }
}
