public import Model

/// A walk through the history in revision order, in slices: between two of them the caller renews the view or takes
/// another one, so that neither a transaction nor a turn of a thread lasts long.
public struct HistoryScan: Sendable {
  public enum Step: Hashable, Sendable {
    /// There is more to come.
    case more
    /// Every row up to the revision asked for (or the view's) was handed over.
    case done
    /// A compaction at this revision has passed the scan: rows may be gone.
    case compacted(Int64)
  }

  /// The next row to be looked at.
  public private(set) var next: Revision
  /// Every row of the revisions up to this one was handed over.
  public private(set) var through: Int64

  public init(from: Int64) {
    next = Revision(main: from, sub: 0)
    through = from - 1
  }

  /// Hands over up to `rows` more rows, none above main revision `last`. A row at which the body stops does not count
  /// as handed over: it comes again. A slice may end inside a revision, which `through` tells; rows are valid until the
  /// body returns.
  ///
  /// A scan may begin at the compaction's revision itself, whose rows are kept, but not below.
  public mutating func slice(
    in view: ReadView, last: Int64 = .max, rows: Int, _ body: (Revision, Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) -> Step {
    precondition(rows > 0, "a slice looks at rows")
    if next.main < view.compactRevision { return .compacted(view.compactRevision) }
    var left = rows
    var stopped: Revision?
    try view.rows(from: next, through: last) { (revision, row) throws(StoreError) -> ScanStep in
      if left == 0 {
        stopped = revision
        return .stop
      }
      if try body(revision, row) == .stop {
        stopped = revision
        return .stop
      }
      left -= 1
      return .next
    }
    if let stopped {
      next = stopped
      through = stopped.main - 1
      return .more
    }
    through = max(through, min(last, view.revision))
    next = Revision(main: through + 1, sub: 0)
    return .done
  }
}
