public import Model

/// A piece of the history, for watchers that are behind.
public enum HistorySlice: Sendable {
  /// The events wanted, of all revisions from the one asked for to the batch's last.
  case events(EventBatch)
  /// The revision asked for lies below this compaction.
  case compacted(Int64)
}

extension Store {
  /// Rows that one view is held for.
  private static let scanRows = 2_000
  private static let chainRows = 2_000

  /// The events of keys in `keys`, from main revision `from` on: one scan for many watchers. Ends between revisions, at
  /// the first that brings it to `bytesMax` encoded bytes or after `revisionsMax` of them. Takes views of its own, each
  /// for a short time.
  public func history(
    from: Int64, of keys: KeySet, bytesMax: Int, revisionsMax: Int64
  ) throws(StoreError) -> HistorySlice {
    precondition(from > 0 && revisionsMax > 0, "revisions begin at 1")
    let view = try view()
    defer { view.end() }
    let (end, overflow) = from.addingReportingOverflow(revisionsMax - 1)
    let last = overflow ? .max : end
    var scan = HistoryScan(from: from)
    var builder = EventBatchBuilder()
    var main = from
    while true {
      var isFull = false
      let step = try scan.slice(in: view, last: last, rows: Self.scanRows) { revision, row in
        if revision.main != main {
          if builder.byteCount >= bytesMax {
            isFull = true
            return .stop
          }
          main = revision.main
        }
        if keys.contains(row.key) { builder.add(revision, row) }
        return .next
      }
      switch step {
      case .compacted(let revision): return .compacted(revision)
      case .done: return .events(builder.finish(first: from, last: scan.through))
      case .more where isFull: return .events(builder.finish(first: from, last: scan.through))
      case .more: try view.renew()
      }
    }
  }

  /// The events of one key, found along its chain; otherwise as `history(from:of:bytesMax:revisionsMax:)`.
  public func history(from: Int64, of key: [UInt8], bytesMax: Int) throws(StoreError) -> HistorySlice {
    precondition(from > 0, "revisions begin at 1")
    let view = try view()
    defer { view.end() }
    if from < view.compactRevision { return .compacted(view.compactRevision) }
    var builder = EventBatchBuilder()
    let slice = try key.withBytes { (key: UnsafeRawBufferPointer) throws(StoreError) in
      try view.versions(of: key, from: from, through: .max, rows: Self.chainRows, bytes: bytesMax) { row in
        builder.add(row.version.mod, row)
      }
    }
    return .events(builder.finish(first: from, last: max(slice.through, from - 1)))
  }
}
