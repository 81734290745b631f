public import Disk
import Model
import Primitives
public import Snapshot

/// Why a snapshot of a store could not be written; the store goes on.
public enum SnapshotExportError: Error, Hashable, Sendable, CustomStringConvertible {
  case store(StoreError)
  case snapshot(SnapshotError)
  case unreadableConfiguration

  public var description: String {
    switch self {
    case .store(let error): error.description
    case .snapshot(let error): error.description
    case .unreadableConfiguration: "the cluster configuration in the store cannot be read"
    }
  }
}

extension Store {
  /// Plain bytes of one compressed chunk of a snapshot file.
  private static let snapshotChunkBytes = 1 << 20
  private static let snapshotCompressionLevel: Int32 = 1

  /// The log index of the last committed boundary: what a snapshot written now would hold.
  public func committedIndex() throws(StoreError) -> UInt64 {
    let export = try export(fileGrowthBytesMax: .max)
    defer { export.end() }
    return export.appliedIndex
  }

  /// Writes the last committed boundary, every table of it, to a snapshot file (`SnapshotWriter`): durable and
  /// complete when this returns, absent otherwise. Runs at disk speed; LMDB reuses no page meanwhile.
  ///
  /// - Parameters:
  ///   - fileGrowthBytesMax: how much the data file may grow before the export gives up.
  ///   - pacing: how what is written reaches the disk.
  public func writeSnapshot(
    disk: any Disk, to path: String, fileGrowthBytesMax: Int64, pacing: PacedWriting,
    progress: @escaping (SnapshotProgress) -> Void
  ) throws(SnapshotExportError) -> SnapshotSummary {
    try writeSnapshotAndHeader(
      disk: disk, to: path, fileGrowthBytesMax: fileGrowthBytesMax, pacing: pacing, progress: progress
    ).summary
  }

  /// The same for who needs to know what the snapshot is of.
  public func writeSnapshotAndHeader(
    disk: any Disk, to path: String, fileGrowthBytesMax: Int64, pacing: PacedWriting,
    progress: @escaping (SnapshotProgress) -> Void
  ) throws(SnapshotExportError) -> (header: SnapshotHeader, summary: SnapshotSummary) {
    let export = try orFail { () throws(StoreError) in
      try self.export(fileGrowthBytesMax: fileGrowthBytesMax)
    }
    defer { export.end() }
    let stored = try orFail { () throws(StoreError) in try export.confState() }
    guard let confState = try? stored.map({ try ConfState(decoding: $0) }) ?? ConfState() else {
      throw .unreadableConfiguration
    }
    let header = SnapshotHeader(
      clusterID: recovery.identity.clusterID, memberID: recovery.identity.memberID,
      revision: export.revision,
      metadata: SnapshotMetadata(confState: confState, index: export.appliedIndex, term: export.term),
      tables: Table.allCases.map { SnapshotHeader.Table(id: $0.rawValue, name: "\($0)") })
    let writer = try orFail { () throws(SnapshotError) in
      try SnapshotWriter(
        disk: disk, path: path, header: header, compressionLevel: Self.snapshotCompressionLevel,
        chunkBytes: Self.snapshotChunkBytes, pacing: pacing, progress: progress)
    }
    var failure: SnapshotError?
    try orFail { () throws(StoreError) in
      try export.forEachRow { (table, key, value) throws(StoreError) -> ScanStep in
        do throws(SnapshotError) {
          try writer.append(table: table.rawValue, key: key, value: value)
          return .next
        } catch {
          failure = error
          return .stop
        }
      }
    }
    if let failure { throw .snapshot(failure) }
    return (header, try orFail { () throws(SnapshotError) in try writer.finish() })
  }
}

/// Runs a step of the store for an export.
private func orFail<Result>(_ step: () throws(StoreError) -> Result) throws(SnapshotExportError) -> Result {
  do throws(StoreError) {
    return try step()
  } catch {
    throw .store(error)
  }
}

/// Runs a step of the snapshot file's writer.
private func orFail<Result>(
  _ step: () throws(SnapshotError) -> Result
) throws(SnapshotExportError) -> Result {
  do throws(SnapshotError) {
    return try step()
  } catch {
    throw .snapshot(error)
  }
}
