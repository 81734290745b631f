public import Disk
internal import Model
internal import Node
internal import Primitives
internal import Snapshot
internal import Store
internal import WriteAheadLog

/// A place that cannot be right.
public struct BadPlace: Hashable, Sendable {
  public var file: String
  /// Bytes from the beginning of the file; 0 for what concerns all of it.
  public var offset: Int
  public var reason: String
}

/// What a check came to.
public struct CheckSummary: Hashable, Sendable {
  public var stores = 0
  public var storeRows = 0
  public var storePages = 0
  public var logFrames = 0
  public var logEntries = 0
  public var snapshots = 0
  public var badPlaces = 0

  public init() {}
}

/// Reads everything of a stopped member, or snapshot files, and names each bad place, going on after every one. Nothing
/// is changed.
public final class MemberCheck {
  private let disk: any Disk
  private let bad: (BadPlace) -> Void
  /// What is no damage but worth knowing.
  private let note: (String) -> Void
  private let report: ProgressReport
  private var summary = CheckSummary()

  public init(
    disk: any Disk, bad: @escaping (BadPlace) -> Void, note: @escaping (String) -> Void,
    report: @escaping ProgressReport
  ) {
    self.disk = disk
    self.bad = bad
    self.note = note
    self.report = report
  }

  /// Checks a snapshot file: its hash, each chunk, each row.
  public func check(snapshot path: String) -> CheckSummary {
    checkSnapshot(path)
    return summary
  }

  /// Checks a member's directory: `CURRENT`, every store, the log, finished snapshot files.
  ///
  /// - Throws: when there is no member, or a process uses it.
  public func check(_ place: MemberPlace) throws(OfflineError) -> CheckSummary {
    let directory = try place.whenFree { () throws(DataDirectoryError) in
      try DirectoryInspection(place.dataDirectory, walPath: place.logDirectory, disk: disk)
    }
    defer { directory.close() }
    var current: String?
    switch directory.storePath {
    case .success(let path):
      current = path
      if !directory.storeFiles.contains(path) {
        note("\(path) is not there: the member was created and has not written anything yet")
      }
    case .failure(.etcdData(let path)): throw .directory(.etcdData(path))
    case .failure(let error): found("\(directory.memberPath)/CURRENT", 0, "\(error)")
    }
    var inUse: StoreAudit.Summary?
    for path in directory.storeFiles {
      guard current == nil || path == current else {
        note("\(path) is left over; the next start removes it")
        continue
      }
      let audited = checkStore(path)
      if path == current { inUse = audited }
    }
    checkLog(directory.walPath, inUse)
    for path in directory.snapshotFiles { checkSnapshot(path) }
    return summary
  }

  private func found(_ file: String, _ offset: Int, _ reason: String) {
    summary.badPlaces += 1
    bad(BadPlace(file: file, offset: offset, reason: reason))
  }

  // MARK: store

  private func checkStore(_ path: String) -> StoreAudit.Summary? {
    summary.stores += 1
    do throws(StoreError) {
      let audited = try StoreAudit.run(
        path: path, report: { self.found($0.file, $0.offset, $0.reason) },
        progress: { self.report(OfflineProgress(step: "check store", done: $0, total: $1)) })
      summary.storeRows += audited.rows
      summary.storePages += audited.pages
      return audited
    } catch {
      found(path, 0, "\(error)")
      return nil
    }
  }

  // MARK: log

  private func checkLog(_ directory: String, _ store: StoreAudit.Summary?) {
    var end = LogEnd()
    let identity = store?.identity.map { LogIdentity(clusterID: $0.clusterID, memberID: $0.memberID) }
    do throws(LogError) {
      let total = try logBytes(directory)
      try LogScan.run(disk: disk, directory: directory, identity: identity) { event in
        switch event {
        case .segment(let segment):
          if end.nextIndex == nil { end.nextIndex = segment.firstIndex }
        case .frame(let frame):
          self.summary.logFrames += 1
          self.summary.logEntries += frame.entries.count
          end.add(frame)
          self.checkEntries(frame)
          end.bytes += frame.storedBytes
          self.report(OfflineProgress(step: "check log", done: end.bytes, total: max(total, end.bytes)))
        case .damage(let error):
          end.isDamaged = true
          self.found(error, in: directory)
        case .tornTail(let file, let offset):
          self.note(
            "\(file) ends at offset \(offset) in a write that a crash cut short; the next start removes it")
        }
      }
    } catch {
      // A member that has not written anything yet has no log.
      guard case .missing = error, store?.appliedIndex ?? 0 == 0 else { return found(error, in: directory) }
      return
    }
    guard !end.isDamaged, let applied = store?.appliedIndex, let next = end.nextIndex else { return }
    if next <= applied {
      found(directory, 0, "the log ends at index \(next - 1), but the store has applied index \(applied)")
    }
  }

  private struct LogEnd {
    var nextIndex: UInt64?
    var bytes = 0
    var isDamaged = false

    mutating func add(_ frame: ScannedFrame) {
      if let last = frame.entries.last {
        nextIndex = last.index &+ 1
      } else if frame.isReset, let snapshot = frame.snapshot {
        nextIndex = snapshot.index &+ 1
      }
    }
  }

  private func logBytes(_ directory: String) throws(LogError) -> Int {
    do throws(DiskError) {
      guard try disk.exists(directory) else { return 0 }
      var total = 0
      for name in try disk.list(directory) where name.hasSuffix(".wal") {
        let file = try disk.open("\(directory)/\(name)", .read)
        total += try file.size()
        file.close()
      }
      return total
    } catch {
      throw .disk(error)
    }
  }

  /// Entries are verified by their frames; here they must also be messages of their kind.
  private func checkEntries(_ frame: ScannedFrame) {
    for entry in frame.entries where !entry.data.isEmpty {
      do throws(ProtoError) {
        switch entry.kind {
        case .normal: _ = try RaftCommand(entry: entry.data)
        case .confChange: _ = try ConfChange(decoding: entry.data)
        case .confChangeV2: _ = try ConfChangeV2(decoding: entry.data)
        }
      } catch {
        found(frame.file, frame.offset, "entry \(entry.index) cannot be decoded: \(error)")
      }
    }
  }

  private func found(_ error: LogError, in directory: String) {
    switch error {
    case .corrupt(let file, let offset, let reason): found(file, offset, reason)
    case .foreign(let file, _, _), .unknownFormat(let file, _): found(file, 0, "\(error)")
    case .missing, .segmentMissing, .endsEarly, .entryTooLarge, .disk, .compression, .locked, .poisoned,
      .closed:
      found(directory, 0, "\(error)")
    }
  }

  // MARK: snapshot files

  private func checkSnapshot(_ path: String) {
    summary.snapshots += 1
    do throws(OfflineError) {
      let file = try SnapshotFile(disk: disk, path: path, report: report)
      var rows = 0
      try file.forEachRow(step: "check snapshot") { (row) throws(OfflineError) in
        rows += 1
        guard !row.isIntact else { return }
        found(
          path, Int(clamping: file.reader.progress.bytes),
          "row \(rows) (table \(row.table)): checksum or form")
      }
    } catch {
      if case .snapshot(.corrupt(let file, let offset, let reason)) = error {
        found(file, offset, reason)
      } else {
        found(path, 0, "\(error)")
      }
    }
  }
}
