internal import Disk
internal import Model
internal import Node
internal import Store
internal import WriteAheadLog

/// Where a stopped member's files are, and how long to wait for its lock.
public struct MemberPlace {
  public var dataDirectory: String
  /// Nil: in the data directory.
  public var logDirectory: String?
  /// Asked while another process holds the lock: pauses and returns true to try again, or false to give up.
  public var waits: () -> Bool

  public init(dataDirectory: String, logDirectory: String?, waits: @escaping () -> Bool) {
    self.dataDirectory = dataDirectory
    self.logDirectory = logDirectory
    self.waits = waits
  }

  /// Runs `open` until the lock is free.
  func whenFree<Result>(
    _ open: () throws(DataDirectoryError) -> Result
  ) throws(OfflineError) -> Result {
    while true {
      do throws(DataDirectoryError) { return try open() } catch {
        guard case .inUse = error, waits() else { throw .directory(error) }
      }
    }
  }
}

/// A stopped member's directory, locked, with its store open.
final class OfflineMember {
  let directory: DataDirectory
  let store: Store
  private let disk: any Disk

  init(_ place: MemberPlace, disk: any Disk, options: StoreOptions = .offline) throws(OfflineError) {
    self.disk = disk
    let directory = try place.whenFree { () throws(DataDirectoryError) in
      try DataDirectory.open(
        place.dataDirectory, walPath: place.logDirectory, disk: disk, absence: .refuse)
    }
    self.directory = directory
    do throws(OfflineError) {
      guard try onDisk({ () throws(DiskError) in try disk.exists(directory.storePath) }) else {
        throw .emptyMember(place.dataDirectory)
      }
      store = try onStore { () throws(StoreError) in
        try Store.open(path: directory.storePath, options: options, identity: nil)
      }
    } catch {
      directory.close()
      throw error
    }
  }

  deinit { directory.close() }

  /// Brings the store up to the log. With `commit` the data file is brought up as well, after the log has been made
  /// durable as a start does it; without, nothing on disk changes.
  func replay(commit: Bool, report: @escaping ProgressReport) throws(OfflineError) -> LogReplay.Report {
    let identity = LogIdentity(
      clusterID: store.recovery.identity.clusterID, memberID: store.recovery.identity.memberID)
    let options = LogOptions(
      absence: .refuse, saltSeed: 0, durableIndex: store.recovery.appliedIndex,
      firstIndexNeeded: store.recovery.appliedIndex)
    let log = try onLog { () throws(LogError) in
      guard commit else {
        return try WriteAheadLog.read(
          disk: disk, directory: directory.walPath, identity: identity, options: options)
      }
      // The log object goes at once: what it repaired is synced, and nothing is appended.
      return try WriteAheadLog.open(
        disk: disk, directory: directory.walPath, identity: identity, options: options
      ).recovered
    }
    let total = log.entries.count
    do throws(NodeError) {
      return try LogReplay.run(store: store, log: log, commit: commit) { done in
        report(OfflineProgress(step: "replay", done: done, total: total, unit: .items))
      }
    } catch {
      throw .node(error)
    }
  }
}

extension StoreOptions {
  /// Nobody else waits for the disk or the processor: whole pieces as fast as they go, and no background reading.
  static var offline: StoreOptions {
    var options = StoreOptions()
    options.scrub = nil
    options.readsAhead = true
    options.defragmentStepBytes = 16 << 20
    options.defragmentBytesPerSecond = .max
    return options
  }
}
