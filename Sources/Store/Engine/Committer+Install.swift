public import Disk
internal import LMDB
public import Model
public import Snapshot

/// Why a snapshot could not take the place of the store's content. The process has to stop: the log waits for it.
public enum SnapshotInstallError: Error, Hashable, Sendable, CustomStringConvertible {
  case store(StoreError)
  case snapshot(SnapshotError)
  /// The file holds another state than the one that is wanted.
  case foreign(file: String, reason: String)

  public var description: String {
    switch self {
    case .store(let error): error.description
    case .snapshot(let error): error.description
    case .foreign(let file, let reason): "snapshot \(file) is not the one that is wanted: \(reason)"
    }
  }
}

/// Putting a received snapshot in the place of everything the store holds. The committer does it, because it is LMDB's
/// only writer: it builds a new data file, takes it into use for the next start, and publishes it with an empty
/// generation above. Views taken before go on with the old file until they end.
extension Committer {
  /// Builds and switches, all in one call that takes as long as the snapshot is large. The applier must not be used
  /// from before this until `Applier.adoptInstalled`.
  ///
  /// - Parameters:
  ///   - path: a verified snapshot file on `disk`; it is verified once more as it is read.
  ///   - wanted: what it must hold.
  ///   - plan: where the new data file goes.
  /// - Returns: what an open of the new file would find.
  public func install(
    _ path: String, on disk: any Disk, wanted: SnapshotMetadata, plan: DefragmentPlan
  ) throws(SnapshotInstallError) -> StoreRecovery {
    cancelWork()
    let opened: (file: StoreFile, recovery: StoreRecovery, state: DiskState, transactionID: UInt64)
    do throws(SnapshotInstallError) {
      opened = try build(path, disk, wanted, plan)
    } catch {
      removeQuietly(plan)
      store.poison(.poisoned(reason: error.description))
      throw error
    }
    do throws(AdoptionError) { try plan.adopt() } catch {
      let poison =
        switch error {
        case .refused(let error), .unknown(let error): StoreError(error)
        }
      store.poison(poison)
      throw .store(poison)
    }
    let old = file
    try orFail { () throws(StoreError) in
      try store.install(opened.file, opened.state, transactionID: opened.transactionID)
    }
    file = opened.file
    state = opened.state
    work.scrub = store.options.scrub.map { Scrub($0, store.scrubCounters) }
    work.retired.append(RetiredFile(old.environment, disk: plan.disk))
    work.retiredDue = 0
    return opened.recovery
  }

  private func build(
    _ path: String, _ disk: any Disk, _ wanted: SnapshotMetadata, _ plan: DefragmentPlan
  ) throws(SnapshotInstallError) -> (StoreFile, StoreRecovery, DiskState, UInt64) {
    let identity = store.recovery.identity
    let reader = try orFail { () throws(SnapshotError) in
      try SnapshotReader.open(disk: disk, path: path) { _ in }
    }
    let found = reader.header.metadata
    guard reader.header.clusterID == identity.clusterID else {
      throw .foreign(file: path, reason: "it is of another cluster")
    }
    guard found.index == wanted.index, found.term == wanted.term else {
      throw .foreign(
        file: path,
        reason: "index \(found.index) of term \(found.term), not index \(wanted.index) of term \(wanted.term)"
      )
    }
    do throws(DiskError) { try StoreFile.remove(plan.path, plan.disk) } catch {
      throw .store(StoreError(error))
    }
    let importer = try orFail { () throws(StoreError) in
      try StoreImporter(
        path: plan.path, options: store.options, identity: identity,
        transactionBytesMax: PacedWriting.stepBytes, isBesideLog: true)
    }
    while let row = try orFail({ () throws(SnapshotError) in try reader.nextRow() }) {
      guard let table = Table(rawValue: row.table) else {
        throw .foreign(file: path, reason: "it has a table \(row.table), which this version does not know")
      }
      try orFail { () throws(StoreError) in
        try importer.append(table: table, key: row.key, value: row.value)
      }
    }
    return try orFail { () throws(StoreError) in
      try importer.finish()
      let file = importer.storeFile(options: store.options)
      let (recovery, state, transactionID) = try Store.recover(
        file.environment, expected: identity, isNew: false)
      guard state.appliedIndex == wanted.index, state.term == wanted.term else {
        throw StoreError.corrupt(
          file: path, table: .meta, key: DiskState.key, reason: "the rows are of index \(state.appliedIndex)")
      }
      return (file, recovery, state, transactionID)
    }
  }
}

extension Store {
  /// Publishes a file with other content: nothing of what was applied before counts any more.
  func install(_ file: StoreFile, _ state: DiskState, transactionID: UInt64) throws(StoreError) {
    let filling = try Generation(
      number: state.generation + 1, boundary: state.boundary,
      arena: Arena(pool: pool, memoryBytesMax: options.generationMemoryBytesMax, spillPath: path))
    file.space.extend(for: [])
    replaceAll(
      Published(
        file: file, filling: filling, committing: nil, transactionID: transactionID,
        committedGeneration: state.generation, committed: state.digest))
  }
}

extension Applier {
  /// Begins anew on what `Committer.install` has put in place.
  public func adoptInstalled() throws(StoreError) {
    try start(from: try store.current())
  }
}

extension CommandApplier {
  /// The same, and what is derived from the state.
  public mutating func adoptInstalled() throws(StoreError) {
    try applier.adoptInstalled()
    alarms = try applier.alarms()
    begin = applier.revision
    changes = 0
  }
}

/// Runs a step of the store for an installation.
private func orFail<Result>(
  _ step: () throws(StoreError) -> Result
) throws(SnapshotInstallError) -> Result {
  do throws(StoreError) {
    return try step()
  } catch {
    throw .store(error)
  }
}

/// Runs a step of the snapshot file's reader.
private func orFail<Result>(
  _ step: () throws(SnapshotError) -> Result
) throws(SnapshotInstallError) -> Result {
  do throws(SnapshotError) {
    return try step()
  } catch {
    throw .snapshot(error)
  }
}
