internal import LMDB
internal import Model
public import Synchronization

/// How the data file is read through for damage, see `Scrub`.
public struct ScrubOptions: Hashable, Sendable {
  /// How fast, in bytes of rows a second; a lookup of another row counts as `lookupBytes`.
  public var bytesPerSecond = 16 << 20
  /// Bytes of one slice between commits.
  public var sliceBytes = 128 << 10
  /// Nanoseconds from the start to the first pass, and from the end of a pass to the next one.
  public var firstPauseNanoseconds: UInt64 = 60_000_000_000
  public var pauseNanoseconds: UInt64 = 3_600_000_000_000
  /// Damaged places that one pass reports.
  public var damagesMax = 16
  /// A pass ends with an audit of all pages in one go if the file has no more than this many.
  public var auditPagesMax = 4096

  static let lookupBytes = 512

  public init() {}
}

/// What a scrub has done since the store was opened; read by any thread.
public final class ScrubCounters: Sendable {
  public let bytes = Atomic<UInt64>(0)
  public let passes = Atomic<UInt64>(0)
  public let damages = Atomic<UInt64>(0)
  /// When the last pass ended, in the monotonic nanoseconds of `Committer.workNext`; 0 before the first.
  public let lastFinish = Atomic<UInt64>(0)
}

/// What one pass found.
public struct ScrubReport: Hashable, Sendable {
  public var rows: Int
  public var bytes: Int64
  public var damages: Int
  public var nanoseconds: UInt64
}

/// One pass over the data file in small slices, each in a read transaction of its own that ends with it:
///
/// - every row of every table: its checksums and its form;
/// - every row of `rev`: `key` knows its key, and nothing older than it (a page of `key` that was lost on its
///   way to the disk shows here);
/// - every row of `key` and `long`: its row in `rev` says the same (a page that came back from the past);
/// - the sum of the rows of `rev`: the set-hash that the commits maintained, and their number;
/// - every page on the way, and at the end, if they are few, all of them (`PageAudit`).
///
/// Between two slices commits may change anything. New rows of `rev` lie above the cursor, and rows below it that
/// compaction deletes are taken out of the sum (`removed`); in the other tables each row is judged as it is.
/// Pages are read with every step checked, never through LMDB, so damage is named and not run into.
struct Scrub {
  private enum Phase {
    case rows(Table)
    case audit
  }

  private let options: ScrubOptions
  private let counters: ScrubCounters
  private var phase = Phase.rows(.rev)
  /// The last key seen of the table; nil at its beginning.
  private var lastKey: [UInt8]?
  private var sum = SetHash()
  /// Rows of `rev` in the sum.
  private var revisions = 0
  private var rows = 0
  private var bytes: Int64 = 0
  private var damages: [StoreError] = []
  private var damagesFound = 0
  private var start: UInt64?
  /// When the next slice is due; nil before the caller's time is known.
  private(set) var due: UInt64?

  init(_ options: ScrubOptions, _ counters: ScrubCounters) {
    self.options = options
    self.counters = counters
  }

  /// A commit deletes a row of `rev`.
  mutating func removed(_ key: UnsafeRawBufferPointer, _ hash: SetHash) {
    guard case .rows(.rev) = phase, let lastKey, lastKey.withBytes({ compareKeys(key, $0) }) <= 0 else {
      return
    }
    sum -= hash
    revisions -= 1
  }

  /// One slice, if it is due. What was found is returned at once.
  mutating func next(_ file: StoreFile, _ state: DiskState, now: UInt64) -> WorkReport? {
    guard let due else {
      self.due = now.adding(options.firstPauseNanoseconds)
      return .progressed
    }
    guard due <= now else { return nil }
    if start == nil { start = now }
    let before = bytes
    let isDone: Bool
    do throws(StoreError) { isDone = try slice(file, state) } catch {
      // Not the file's fault: no room for one more reader or map, perhaps. The next pass begins anew.
      restart(now)
      return .scrubFailed(error)
    }
    let read = UInt64(bytes - before)
    counters.bytes.add(read, ordering: .relaxed)
    counters.damages.add(UInt64(damages.count), ordering: .relaxed)
    self.due = now.adding(read * 1_000_000_000 / UInt64(max(options.bytesPerSecond, 1)))
    let found = damages
    damages = []
    if !found.isEmpty {
      if isDone { finish(now) }
      return .damaged(found)
    }
    return isDone ? .scrubbed(finish(now)) : .progressed
  }

  @discardableResult
  private mutating func finish(_ now: UInt64) -> ScrubReport {
    let begin = start ?? now
    let report = ScrubReport(
      rows: rows, bytes: bytes, damages: damagesFound, nanoseconds: now >= begin ? now - begin : 0)
    counters.passes.add(1, ordering: .relaxed)
    counters.lastFinish.store(now, ordering: .relaxed)
    restart(now)
    return report
  }

  private mutating func restart(_ now: UInt64) {
    self = Scrub(options, counters)
    due = now.adding(options.pauseNanoseconds)
  }

  // MARK: one slice

  /// True at the end of the pass.
  private mutating func slice(_ file: StoreFile, _ state: DiskState) throws(StoreError) -> Bool {
    let transaction = try file.beginRead()
    let pages: Result<PageReader, PageDamage>
    do throws(LMDBError) { pages = try file.environment.pageReader() } catch { throw StoreError(error) }
    let isDone: Bool
    switch pages {
    case .success(let reader): isDone = slice(reader, state)
    case .failure(let damage):
      found(StoreError(damage))
      isDone = true
    }
    // The transaction lasted until here: none of the pages was used again meanwhile.
    _ = transaction.transactionID
    return isDone
  }

  private mutating func slice(_ reader: PageReader, _ state: DiskState) -> Bool {
    do throws(PageDamage) {
      switch phase {
      case .rows(let table):
        if try rows(of: table, reader, state) { advance(behind: table) }
        return false
      case .audit:
        if reader.usedPages <= options.auditPagesMax { _ = try PageAudit.run(reader) }
        return true
      }
    } catch {
      // Nobody knows what lies behind: the pass ends, and the next one meets it again.
      found(StoreError(error))
      return true
    }
  }

  private mutating func advance(behind table: Table) {
    lastKey = nil
    let next = table.slot + 1
    phase = next < Table.allCases.count ? .rows(Table.allCases[next]) : .audit
  }

  private mutating func found(_ damage: StoreError) {
    damagesFound += 1
    if damagesFound <= options.damagesMax { damages.append(damage) }
  }

  /// True at the end of the table.
  private mutating func rows(
    of table: Table, _ reader: PageReader, _ state: DiskState
  ) throws(PageDamage) -> Bool {
    var cursor = try PageCursor(reader, table: "\(table)")
    let checks = try ScrubChecks(reader)
    let limit = bytes + Int64(options.sliceBytes)
    var isThere = try seekNext(&cursor)
    while isThere {
      let (key, value) = (cursor.key, cursor.value)
      rows += 1
      bytes += Int64(key.count + value.count)
      if !RowCheck.isValid(table, key: key, value: value) {
        found(.corrupt(file: reader.path, table: table, key: Array(key), reason: "checksum or form"))
      } else if let reason = try check(table, key, value, checks) {
        found(.corrupt(file: reader.path, table: table, key: Array(key), reason: reason))
      }
      if bytes >= limit {
        lastKey = Array(key)
        return false
      }
      isThere = try cursor.next()
    }
    if table == .rev { compareSums(cursor.entries, reader, state) }
    return true
  }

  private func seekNext(_ cursor: inout PageCursor) throws(PageDamage) -> Bool {
    guard let lastKey else { return try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0)) }
    return try lastKey.withBytes { (last: UnsafeRawBufferPointer) throws(PageDamage) -> Bool in
      guard try cursor.seek(last) else { return false }
      return compareKeys(cursor.key, last) == 0 ? try cursor.next() : true
    }
  }

  /// What is wrong with a row that is valid in itself.
  private mutating func check(
    _ table: Table, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ checks: ScrubChecks
  ) throws(PageDamage) -> String? {
    switch table {
    case .rev:
      sum += SetHash(verified: key, value)
      revisions += 1
      bytes += Int64(ScrubOptions.lookupBytes)
      return try checks.revision(key, value)
    case .key, .long:
      bytes += Int64(ScrubOptions.lookupBytes)
      return try checks.latest(table, key, value)
    case .lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta: return nil
    }
  }

  private mutating func compareSums(_ entries: Int, _ reader: PageReader, _ state: DiskState) {
    if revisions != entries {
      found(
        .corrupt(
          file: reader.path, table: .rev, key: [], reason: "\(revisions) rows read, \(entries) counted"))
    } else if sum != state.setHash {
      found(
        .corrupt(
          file: reader.path, table: .rev, key: [],
          reason: "set-hash of all rows is \(sum), of the changes \(state.setHash)"))
    }
  }
}

extension StoreError {
  init(_ damage: PageDamage) {
    self = .damagedPage(file: damage.path, page: damage.page, table: damage.table, reason: damage.reason)
  }
}
