internal import Disk
internal import LMDB

/// Work beside the commits, in slices of a few milliseconds on the committer's thread: a defragmentation, the
/// removal of the file that it replaced, and the scrub.
struct CommitterWork {
  var defragmentation: Defragmentation?
  var retired: [RetiredFile] = []
  /// When to look again whether the last reader of a retired file has gone.
  var retiredDue: UInt64 = 0
  var scrub: Scrub?
}

extension Committer {
  /// When `workNext` has something to do, in the caller's monotonic nanoseconds; `.max`: not before a call to
  /// the committer. Commits come first.
  public var nextWork: UInt64 {
    var due = work.defragmentation?.due ?? .max
    if !work.retired.isEmpty { due = min(due, work.retiredDue) }
    if let scrub = work.scrub, work.defragmentation == nil { due = min(due, scrub.due ?? 0) }
    return due
  }

  /// Does one slice of the work that is due at `now`, in the caller's monotonic nanoseconds; nil when there is
  /// none. An error poisons the store, as in `commitNext`.
  public func workNext(now: UInt64) throws(StoreError) -> WorkReport? {
    if let defragmentation = work.defragmentation, defragmentation.due <= now {
      return try defragmentNext(defragmentation, now: now)
    }
    if let report = removeRetired(now: now) { return report }
    // A defragmentation reads and checks every row itself.
    guard work.defragmentation == nil else { return nil }
    return work.scrub?.next(file, state, now: now)
  }

  /// Gives up what is under way: the process ends. What was built is removed.
  public func cancelWork() {
    guard let defragmentation = work.defragmentation else { return }
    work.defragmentation = nil
    removeQuietly(defragmentation.plan)
  }

  // MARK: files that were replaced

  /// Removes a part of a retired file that nobody reads any more. A part, because giving back the space of a
  /// large file at once would hold up other files' syncs.
  private func removeRetired(now: UInt64) -> WorkReport? {
    guard !work.retired.isEmpty, work.retiredDue <= now else { return nil }
    for index in work.retired.indices {
      do throws(DiskError) {
        guard try work.retired[index].removeNext() else { continue }
        if work.retired[index].isRemoved { work.retired.remove(at: index) }
        return .progressed
      } catch {
        work.retired.remove(at: index)
        return .removalFailed(StoreError(error))
      }
    }
    work.retiredDue = now.adding(RetiredFile.pollNanoseconds)
    return nil
  }
}

/// A data file that another one replaced, until its last reader has gone and it is removed.
struct RetiredFile {
  static let pollNanoseconds: UInt64 = 100_000_000
  private static let stepBytes = 64 << 20

  private let disk: any Disk
  private let path: String
  private var environment: Environment?
  private(set) var isRemoved = false

  init(_ environment: Environment, disk: any Disk) {
    self.disk = disk
    self.environment = environment
    path = environment.path
  }

  /// False while there are readers.
  mutating func removeNext() throws(DiskError) -> Bool {
    if environment != nil {
      guard isKnownUniquelyReferenced(&environment) else { return false }
      // Closes it. Nobody has a pointer into its map now, so it may be cut.
      environment = nil
    }
    let file = try disk.open(path, .readWrite)
    defer { file.close() }
    let size = try file.size()
    if size > Self.stepBytes {
      try file.truncate(to: size - Self.stepBytes)
    } else {
      try StoreFile.remove(path, disk)
      isRemoved = true
    }
    return true
  }
}

extension StoreFile {
  /// Removes a data file and its lock file, where they exist. Nobody may have it open.
  static func remove(_ path: String, _ disk: any Disk) throws(DiskError) {
    for name in [path, path + "-lock"] where try disk.exists(name) { try disk.remove(name) }
  }
}

extension StoreError {
  init(_ error: DiskError) {
    self = .file(error.path, operation: "\(error.operation)", errno: error.code.rawValue)
  }
}

extension UInt64 {
  /// A later time.
  func adding(_ nanoseconds: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(nanoseconds)
    return overflow ? .max : sum
  }
}
