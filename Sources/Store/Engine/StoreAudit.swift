internal import LMDB
internal import Model

/// A damaged place of a data file.
public struct StoreDamage: Hashable, Sendable, CustomStringConvertible {
  public var file: String
  /// Bytes from the beginning of the file: of the page, or of the row in it. 0 for what concerns all of it.
  public var offset: Int
  public var reason: String

  public var description: String { "\(file): offset \(offset): \(reason)" }
}

/// Reads a whole data file that no process has open and names everything that cannot be right, going on after each:
///
/// - the tree of every table, and the list of free pages (`PageSurvey`);
/// - every row: its checksums and its form;
/// - rows of `rev` against `key` and back, as `Scrub` does;
/// - the set-hash over all rows of `rev` against the one that the commits maintained.
///
/// Nothing is written, and LMDB is not asked: it trusts what it finds.
public struct StoreAudit {
  public struct Summary: Hashable, Sendable {
    public var rows = 0
    public var pages = 0
    public var damages = 0
    public var identity: StoreIdentity?
    /// What the file holds; nil if the row that says so cannot be read.
    public var appliedIndex: UInt64?
    public var revision: Int64?
  }

  private let path: String
  private let report: (StoreDamage) -> Void
  private let progress: (Int, Int) -> Void
  private var summary = Summary()
  private var sum = SetHash()
  private var state: DiskState?
  /// Rows of `rev` that are the latest of their keys, and latest rows of keys. Where these are as many, each of the
  /// latter was compared with its row in `rev` when that was read, and need not be looked up once more.
  private var latestInRev = 0
  private var latestRows = 0
  /// Rows of `rev` could not be read: the sum over them says nothing more.
  private var isSumPartial = false
  /// Pages that were reported: a row that leads to one of them is not reported again.
  private var damagedPages: Set<UInt64> = []

  /// Audits the file at `path`.
  ///
  /// - Parameters:
  ///   - report: called for each damaged place.
  ///   - progress: called now and then with the bytes of pages read, and of all.
  /// - Throws: when the file cannot be opened or mapped.
  public static func run(
    path: String, report: @escaping (StoreDamage) -> Void, progress: @escaping (Int, Int) -> Void
  ) throws(StoreError) -> Summary {
    let file: PageFile?
    do throws(LMDBError) { file = try PageFile.open(path) } catch { throw StoreError(error) }
    guard let file else { throw StoreError.incomplete(file: path) }
    file.readAhead()
    var audit = StoreAudit(path: path, report: report, progress: progress)
    do throws(PageDamage) {
      audit.run(try file.reader())
    } catch {
      audit.damaged(error, pageBytes: 4096)
    }
    return audit.summary
  }

  private init(
    path: String, report: @escaping (StoreDamage) -> Void, progress: @escaping (Int, Int) -> Void
  ) {
    self.path = path
    self.report = report
    self.progress = progress
  }

  private mutating func run(_ reader: PageReader) {
    let pageBytes = reader.pageBytes
    let found = Found()
    var survey = PageSurvey(reader) { found.damages.append($0) }
    let names = survey.tables()
    takeDamages(found, pageBytes)
    for name in names where !Table.names.contains(name) {
      damaged(offset: 0, "a table \(GoValueSyntax.quoted(name)) that no store has")
    }
    let checks: ScrubChecks?
    do throws(PageDamage) { checks = try ScrubChecks(reader) } catch {
      damaged(error, pageBytes: pageBytes)
      checks = nil
    }
    for table in Table.allCases {
      var rows = 0
      let count = survey.rows(of: "\(table)") { row in
        rows += 1
        check(table, row, checks, pageBytes)
        if rows & 0x3fff == 0 { progress(row.offset, reader.usedPages * pageBytes) }
      }
      takeDamages(found, pageBytes)
      if table == .rev { isSumPartial = summary.damages > 0 }
      summary.rows += count
      progress(survey.pages * pageBytes, reader.usedPages * pageBytes)
    }
    if latestInRev != latestRows, let checks { compareLatest(reader, checks) }
    survey.freeList()
    takeDamages(found, pageBytes)
    summary.pages = survey.pages
    compareSums()
    progress(reader.usedPages * pageBytes, reader.usedPages * pageBytes)
  }

  /// What the survey reports while rows are handed out.
  private final class Found {
    var damages: [PageDamage] = []
  }

  private mutating func takeDamages(_ found: Found, _ pageBytes: Int) {
    for damage in found.damages { damaged(damage, pageBytes: pageBytes) }
    found.damages.removeAll()
  }

  // MARK: rows

  private mutating func check(
    _ table: Table, _ row: PageSurvey.Row, _ checks: ScrubChecks?, _ pageBytes: Int
  ) {
    guard RowCheck.isValid(table, key: row.key, value: row.value) else {
      return damaged(offset: row.offset, "\(name(table, row.key)): checksum or form")
    }
    if table == .meta { return take(meta: row) }
    do throws(PageDamage) {
      var reason: String?
      if table == .rev {
        sum += SetHash(verified: row.key, row.value)
        var isLatest = false
        reason = try checks?.revision(row.key, row.value, &isLatest)
        if isLatest { latestInRev += 1 }
      } else if table == .key || table == .long {
        if KeyRow(table: table, key: row.key, value: row.value) != nil {
          latestRows += 1
        } else {
          reason = try checks?.latest(table, row.key, row.value)
        }
      }
      if let reason { damaged(offset: row.offset, "\(name(table, row.key)): \(reason)") }
    } catch {
      damaged(error, pageBytes: pageBytes)
    }
  }

  /// Names the latest rows that have no row in `rev`.
  private mutating func compareLatest(_ reader: PageReader, _ checks: ScrubChecks) {
    // What cannot be read was reported before.
    var survey = PageSurvey(reader) { _ in }
    for table in [Table.key, Table.long] {
      _ = survey.rows(of: "\(table)") { row in
        guard RowCheck.isValid(table, key: row.key, value: row.value) else { return }
        do throws(PageDamage) {
          guard let reason = try checks.latest(table, row.key, row.value) else { return }
          damaged(offset: row.offset, "\(name(table, row.key)): \(reason)")
        } catch {
          damaged(error, pageBytes: reader.pageBytes)
        }
      }
    }
  }

  private mutating func take(meta row: PageSurvey.Row) {
    guard let payload = TableValue.payload(.meta, key: row.key, value: row.value) else { return }
    if row.key.elementsEqual(DiskState.key) {
      state = DiskState(payload: payload)
      summary.appliedIndex = state?.appliedIndex
      summary.revision = state?.revision
      if state == nil { damaged(offset: row.offset, "the form of the row state") }
    } else if row.key.elementsEqual(DiskIdentity.key) {
      guard payload.count == 24, payload.word32(0) == DiskIdentity.formatVersion else {
        return damaged(offset: row.offset, "the form or format version of the row identity")
      }
      summary.identity = StoreIdentity(clusterID: payload.word64(8), memberID: payload.word64(16))
    }
  }

  private mutating func compareSums() {
    guard let state else { return damaged(offset: 0, "no row state: an unfinished import, or a lost row") }
    if summary.identity == nil { damaged(offset: 0, "no row identity") }
    if !isSumPartial, sum != state.setHash {
      damaged(offset: 0, "set-hash of all rows is \(sum), of the changes \(state.setHash)")
    }
  }

  private func name(_ table: Table, _ key: UnsafeRawBufferPointer) -> String {
    if table == .rev, let revision = RevisionKey.revision(key) {
      return "table rev, revision \(revision.main).\(revision.sub)"
    }
    let head = Array(key.prefix(64))
    return "table \(table), key \(hexadecimal(head))\(key.count > head.count ? "..." : "")"
  }

  // MARK: reports

  private mutating func damaged(_ damage: PageDamage, pageBytes: Int) {
    guard damagedPages.insert(damage.page).inserted else { return }
    let table = damage.table.map { " (table \($0))" } ?? ""
    let offset = Int(clamping: damage.page.multipliedReportingOverflow(by: UInt64(pageBytes)).partialValue)
    damaged(offset: offset, "page \(damage.page)\(table): \(damage.reason)")
  }

  private mutating func damaged(offset: Int, _ reason: String) {
    summary.damages += 1
    report(StoreDamage(file: path, offset: offset, reason: reason))
  }
}
