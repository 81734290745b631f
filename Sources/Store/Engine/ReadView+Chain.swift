internal import Model

/// Versions of one key by its chain: the rows wanted are found along jump pointers, so that what is read follows from
/// what is handed over, not from the length of the history.
extension ReadView {
  /// Where a slice of a key's versions ended: every version up to this main revision was handed over.
  public struct ChainSlice: Hashable, Sendable {
    public var through: Int64
  }

  /// Hands the versions of `key` with `from` <= main <= `through` (at most the view's revision) over, oldest first,
  /// tombstones included: at least those of one main revision, and otherwise no more than about `rows` and
  /// `bytes` of KeyValue.
  ///
  /// `from` must not lie below `compactRevision`: rows could be missing.
  public func versions(
    of key: UnsafeRawBufferPointer, from: Int64, through: Int64, rows: Int, bytes: Int,
    _ body: (Row) throws(StoreError) -> Void
  ) throws(StoreError) -> ChainSlice {
    precondition(from >= boundary.compactRevision && rows > 0, "a slice of versions that are there")
    let limit = min(through, boundary.revision)
    guard let newest = try newestLink(key, limit: limit), newest.revision.main >= from else {
      return ChainSlice(through: limit)
    }
    let first = try oldestLink(from: newest, main: from)
    var end = limit
    var last = newest
    if Int(newest.pointers.depth - first.pointers.depth) >= rows {
      // The row behind the slice; all of a main revision stay together.
      let behind = try link(from: newest, depth: first.pointers.depth + UInt32(clamping: rows))
      end = behind.revision.main > first.revision.main ? behind.revision.main - 1 : behind.revision.main
      last = try self.newest(from: newest, main: end)
    }
    return try handOver(key, first: first, last: last, end: end, bytes: bytes, body)
  }

  /// Walks back from `last` to `first`, and hands over in the other direction. Rows stay where they are until the
  /// view renews, so nothing is copied.
  private func handOver(
    _ key: UnsafeRawBufferPointer, first: ChainLink, last: ChainLink, end: Int64, bytes: Int,
    _ body: (Row) throws(StoreError) -> Void
  ) throws(StoreError) -> ChainSlice {
    var links = [last]
    var oldest = last
    while oldest.revision > first.revision {
      oldest = try link(at: oldest.pointers.previous)
      links.append(oldest)
    }
    var taken = 0
    var main = first.revision.main
    for link in links.reversed() {
      if link.revision.main != main {
        if taken >= bytes { return ChainSlice(through: link.revision.main - 1) }
        main = link.revision.main
      }
      var row = try row(of: link)
      row.key = key
      try body(row)
      taken += row.keyValue.count
    }
    return ChainSlice(through: end)
  }

  // MARK: Links

  /// A row of a key's chain, in a generation or in LMDB.
  private struct ChainLink {
    enum Place {
      case record(VersionRecord)
      case disk(RevisionRow)
      /// The key's latest row in LMDB, known by its `key` row alone.
      case latest
    }

    var revision: Revision
    var pointers: RowPointers
    var place: Place
  }

  /// The newest row with main <= `limit`.
  private func newestLink(_ key: UnsafeRawBufferPointer, limit: Int64) throws(StoreError) -> ChainLink? {
    if let record = overlayRecord(key, limit: limit) { return Self.link(record) }
    guard let latest = try diskKeyRow(key) else { return nil }
    if latest.version.mod.main <= limit {
      return ChainLink(revision: latest.version.mod, pointers: latest.pointers, place: .latest)
    }
    return try diskVisible(below: latest, limit: limit).map { found in
      ChainLink(revision: found.revision, pointers: found.row.pointers, place: .disk(found.row))
    }
  }

  private static func link(_ record: VersionRecord) -> ChainLink {
    ChainLink(revision: record.revision, pointers: record.pointers, place: .record(record))
  }

  /// A row that a pointer names and that compaction has not reached.
  private func link(at revision: Revision) throws(StoreError) -> ChainLink {
    if let record = record(newer, newerCount, revision) ?? record(older, olderCount, revision) {
      return Self.link(record)
    }
    guard let row = try diskRevisionRow(revision) else { throw missing(revision) }
    return ChainLink(revision: revision, pointers: row.pointers, place: .disk(row))
  }

  private func record(_ generation: Generation?, _ count: Int, _ revision: Revision) -> VersionRecord? {
    guard let generation, count > 0, generation.revisions[0].revision <= revision else { return nil }
    let index = generation.revisions.lowerBound(revision, count: count)
    guard index < count, generation.revisions[index].revision == revision else { return nil }
    return generation.revisions[index]
  }

  /// The oldest row of a chain with main >= `main`, from a newer one that is no older.
  private func oldestLink(from start: ChainLink, main: Int64) throws(StoreError) -> ChainLink {
    var current = start
    while true {
      let pointers = current.pointers
      if pointers.jump.main >= main, pointers.jump.main > 0 {
        current = try link(at: pointers.jump)
      } else if pointers.previous.main >= main, pointers.previous.main > 0 {
        current = try link(at: pointers.previous)
      } else {
        return current
      }
    }
  }

  /// The newest row of a chain with main <= `main`, from a newer one. It must exist.
  private func newest(from start: ChainLink, main: Int64) throws(StoreError) -> ChainLink {
    var current = start
    while current.revision.main > main {
      let pointers = current.pointers
      current = try link(at: pointers.jump.main > main ? pointers.jump : pointers.previous)
    }
    return current
  }

  /// The row of a chain at `depth`, from a newer one. It must exist.
  private func link(from start: ChainLink, depth: UInt32) throws(StoreError) -> ChainLink {
    var current = start
    while current.pointers.depth > depth {
      let pointers = current.pointers
      let jumps = pointers.jump.main > 0 && Applier.jumpDepth(pointers.depth) >= depth
      current = try link(at: jumps ? pointers.jump : pointers.previous)
    }
    return current
  }

  /// The whole row, checked; without its key.
  private func row(of link: ChainLink) throws(StoreError) -> Row {
    switch link.place {
    case .record(let record): return record.row
    case .disk(let row): return try decode(row, at: link.revision)
    case .latest:
      guard let row = try diskRevisionRow(link.revision) else { throw missing(link.revision) }
      return try decode(row, at: link.revision)
    }
  }
}
