public import Disk
public import Model
internal import Node
internal import Snapshot
internal import Store
internal import WriteAheadLog

/// What a restore is to make.
public struct RestorePlan: Sendable {
  public var snapshotPath: String
  public var dataDirectory: String
  /// A directory of its own for the log, which must not exist; nil keeps it in the data directory.
  public var logDirectory: String?
  /// The member that this directory is for.
  public var name: String
  public var cluster: InitialCluster
  public var clusterToken: String
  public var advertisedPeerURLs: [EndpointURL]
  public var isHashChecked = true
  /// See `NewBeginning.revisionBump`.
  public var revisionBump: Int64 = 0

  public init(
    snapshotPath: String, dataDirectory: String, logDirectory: String?, name: String, cluster: InitialCluster,
    clusterToken: String, advertisedPeerURLs: [EndpointURL]
  ) {
    self.snapshotPath = snapshotPath
    self.dataDirectory = dataDirectory
    self.logDirectory = logDirectory
    self.name = name
    self.cluster = cluster
    self.clusterToken = clusterToken
    self.advertisedPeerURLs = advertisedPeerURLs
  }
}

/// What a restore made.
public struct RestoreReport: Hashable, Sendable {
  public var clusterID: UInt64
  public var memberID: UInt64
  public var members: Int
  public var revision: Int64
  public var rows: UInt64
}

/// Makes a member of a new cluster from a snapshot.
///
/// The cluster's members, and the ids computed from them, take the place of those in the snapshot; so does the
/// configuration, and the log begins anew behind entry n, term 1, for n members, as after etcdutl's restore: the
/// directories that several members restore from one snapshot agree in everything.
///
/// The target is there whole or not at all: everything is built in a directory beside it, synced, and moved into place
/// by one rename. A log with a directory of its own is moved first, with a mark in it that says so; the next
/// restore to the same place removes it if the data directory never came.
public struct SnapshotRestore {
  private let plan: RestorePlan
  private let disk: any Disk
  private let saltSeed: UInt32
  private let report: ProgressReport

  /// - Parameter saltSeed: random, see `LogOptions.saltSeed`.
  public init(plan: RestorePlan, disk: any Disk, saltSeed: UInt32, report: @escaping ProgressReport) {
    self.plan = plan
    self.disk = disk
    self.saltSeed = saltSeed
    self.report = report
  }

  /// The log's segments are small at first: most of a new one is zeros that have to be written.
  private static let segmentBytes = 4 << 20

  public func run() throws(OfflineError) -> RestoreReport {
    do throws(ValueSyntaxError) {
      try plan.cluster.check(name: plan.name, advertised: plan.advertisedPeerURLs)
    } catch {
      throw .invalid(error.text)
    }
    let place = RestorePlace(plan, disk: disk)
    try place.checkTarget()
    let file = try SnapshotFile(
      disk: disk, path: plan.snapshotPath, isHashChecked: plan.isHashChecked, report: report)
    let lock = try place.prepare()
    defer { lock.release() }
    do throws(OfflineError) {
      let result = try build(file, in: place, holding: lock)
      try place.adopt()
      return result
    } catch {
      place.removeQuietly()
      throw error
    }
  }

  private func build(
    _ file: SnapshotFile, in place: RestorePlace, holding lock: any DiskLock
  ) throws(OfflineError) -> RestoreReport {
    let members = plan.cluster.members.map { member in
      let urls = member.peerURLs.map(\.description)
      let id = ClusterIdentity.memberID(peerURLs: urls, clusterToken: plan.clusterToken)
      return MemberRecord(id: id, peerURLs: urls, name: member.name)
    }.sorted { $0.id < $1.id }
    guard let own = members.first(where: { $0.name == plan.name }) else {
      throw .invalid("the initial cluster does not name this member")
    }
    let ids = members.map(\.id)
    let identity = StoreIdentity(
      clusterID: ClusterIdentity.clusterID(memberIDs: ids), memberID: own.id)
    let beginning = NewBeginning(
      appliedIndex: UInt64(members.count), term: 1, revisionBump: plan.revisionBump)
    let metadata = SnapshotMetadata(
      confState: ConfState(voters: ids), index: beginning.appliedIndex, term: beginning.term)
    let directory: DataDirectory
    do throws(DataDirectoryError) {
      directory = try DataDirectory.open(
        place.building, walPath: nil, disk: disk, holding: lock)
    } catch {
      throw .directory(error)
    }
    let revision = try writeStore(
      file, to: directory.storePath, identity, beginning, members, metadata.confState)
    try writeLog(in: plan.logDirectory == nil ? directory.walPath : place.buildingLog, identity, metadata)
    return RestoreReport(
      clusterID: identity.clusterID, memberID: identity.memberID, members: members.count,
      revision: revision, rows: file.reader.summary.rows)
  }

  // MARK: the store

  private func writeStore(
    _ file: SnapshotFile, to path: String, _ identity: StoreIdentity, _ beginning: NewBeginning,
    _ members: [MemberRecord], _ confState: ConfState
  ) throws(OfflineError) -> Int64 {
    let importer = try onStore { () throws(StoreError) in
      try StoreImporter(path: path, options: StoreOptions(), identity: identity)
    }
    var pending = members.map { Row(table: .member, key: memberKey($0.id), payload: $0.encoded()) }
    pending.append(Row(table: .meta, key: ExportedRow.confStateKey, payload: confState.encoded()))
    var next = pending[...]
    try file.forEachRow(step: "restore") { (row) throws(OfflineError) in
      // The old cluster's members and configuration are left behind.
      if row.table == .member { return }
      if row.table == .meta, row.key.elementsEqual(ExportedRow.confStateKey) { return }
      while let made = next.first, made.isBefore(row) {
        try onStore { () throws(StoreError) in
          try importer.append(made.table, key: made.key, payload: made.payload)
        }
        next.removeFirst()
      }
      try onStore { () throws(StoreError) in
        try importer.append(table: row.table, key: row.key, value: row.value)
      }
    }
    let revision = try onStore { () throws(StoreError) in
      for made in next { try importer.append(made.table, key: made.key, payload: made.payload) }
      return try importer.finish(beginning: beginning)
    }
    try onDisk { () throws(DiskError) in try disk.syncDirectory(parentDirectory(of: path)) }
    return revision
  }

  /// A row that takes its place among those of the snapshot.
  private struct Row {
    var table: Table
    var key: [UInt8]
    var payload: [UInt8]

    func isBefore(_ row: ExportedRow) -> Bool {
      guard table == row.table else { return table.rawValue < row.table.rawValue }
      return key.lexicographicallyPrecedes(row.key)
    }
  }

  private func memberKey(_ id: UInt64) -> [UInt8] {
    withUnsafeBytes(of: id.bigEndian) { Array($0) }
  }

  // MARK: the log

  /// A log that begins behind the restored state. Entries below would be replayed to members that join later, in the place
  /// of the state.
  private func writeLog(
    in directory: String, _ identity: StoreIdentity, _ metadata: SnapshotMetadata
  ) throws(OfflineError) {
    try onLog { () throws(LogError) in
      let (log, _) = try WriteAheadLog.open(
        disk: disk, directory: directory,
        identity: LogIdentity(clusterID: identity.clusterID, memberID: identity.memberID),
        options: LogOptions(absence: .create, saltSeed: saltSeed, segmentBytes: Self.segmentBytes))
      try log.reset(to: metadata)
      try log.append(entries: [], hardState: HardState(term: metadata.term, commit: metadata.index))
      try log.flush()
      try log.close()
    }
  }
}
