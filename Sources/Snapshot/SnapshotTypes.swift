public import Disk
public import Model
public import Zstd

/// What a snapshot is of; the head of its file.
public struct SnapshotHeader: Hashable, Sendable {
  public var clusterID: UInt64
  /// The member that wrote it.
  public var memberID: UInt64
  /// The store's current revision.
  public var revision: Int64
  /// The last applied entry, and the configuration at it.
  public var metadata: SnapshotMetadata
  /// The tables whose rows follow, in the order in which they follow.
  public var tables: [Table]

  /// A table of the store: the number its rows carry, and its name.
  public struct Table: Hashable, Sendable {
    public var id: UInt8
    public var name: String

    public init(id: UInt8, name: String) {
      self.id = id
      self.name = name
    }
  }

  public init(
    clusterID: UInt64, memberID: UInt64, revision: Int64, metadata: SnapshotMetadata, tables: [Table]
  ) {
    self.clusterID = clusterID
    self.memberID = memberID
    self.revision = revision
    self.metadata = metadata
    self.tables = tables
  }
}

/// How far an export, a verification or an import is.
public struct SnapshotProgress: Hashable, Sendable {
  /// Bytes of the file.
  public var bytes: Int
  public var rows: UInt64

  public init(bytes: Int, rows: UInt64) {
    self.bytes = bytes
    self.rows = rows
  }
}

/// Why a snapshot cannot be written or used.
public enum SnapshotError: Error, Hashable, Sendable {
  case disk(DiskError)
  /// The file is not a snapshot of Cairn.
  case notSnapshot(file: String)
  case unknownFormat(file: String, version: UInt32)
  /// The file is damaged or cut short; nothing of it may be used.
  case corrupt(file: String, offset: Int, reason: String)
  /// A row that no chunk can hold.
  case rowTooLarge(bytes: Int)
  case compression(ZstdError)
}

extension SnapshotError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .disk(let error): "snapshot: \(error)"
    case .notSnapshot(let file): "\(file) is not a snapshot of Cairn"
    case .unknownFormat(let file, let version):
      "snapshot \(file) has format version \(version), which this version of Cairn does not know"
    case .corrupt(let file, let offset, let reason):
      "snapshot \(file) is corrupt at offset \(offset): \(reason)"
    case .rowTooLarge(let bytes): "a row of \(bytes) bytes is too large for a snapshot"
    case .compression(let error): "snapshot: \(error)"
    }
  }
}

/// Gives a disk's error its place among those of snapshots.
func onDisk<Result>(_ body: () throws(DiskError) -> Result) throws(SnapshotError) -> Result {
  do throws(DiskError) { return try body() } catch { throw .disk(error) }
}
