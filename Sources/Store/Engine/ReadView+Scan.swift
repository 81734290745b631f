internal import LMDB
internal import Model

/// Ranges of keys: the generations' skip lists and LMDB's key cursor, merged. Nothing is allocated per key.
extension ReadView {
  /// Live keys of a range at a revision, ascending. With `content` metadata, rows whose value is not at
  /// hand come with empty `keyValue`.
  public func scan(
    from: [UInt8], to: KeyBound, at: Int64, content: RowContent = .keyValue,
    _ body: (Row) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    let limit = min(at, boundary.revision)
    try merge(from: from, to: to) {
      (found: borrowing Found) throws(StoreError) -> ScanStep in
      if let record = found.record(limit: limit) {
        return record.isTombstone ? .next : try body(record.row)
      }
      guard let latest = found.disk,
        let row = try self.row(latest, key: found.key, limit: limit, content: content),
        !row.version.isTombstone
      else { return .next }
      return try body(row)
    }
  }

  /// The number of live keys of a range at a revision. Follows no pointer where the latest row decides:
  /// it is visible itself, or belongs to a life of the key that began at or before the revision.
  public func count(from: [UInt8], to: KeyBound, at: Int64) throws(StoreError) -> Int64 {
    let limit = min(at, boundary.revision)
    var count: Int64 = 0
    try merge(from: from, to: to) {
      (found: borrowing Found) throws(StoreError) -> ScanStep in
      if let record = found.record(limit: limit) {
        if !record.isTombstone { count += 1 }
        return .next
      }
      guard let latest = found.disk else { return .next }
      if latest.version.mod.main <= limit || (!latest.isTombstone && latest.version.create <= limit) {
        if !latest.isTombstone { count += 1 }
      } else if let (_, row) = try diskVisible(below: latest, limit: limit), !row.isTombstone {
        count += 1
      }
      return .next
    }
    return count
  }

  /// A key and where it was found.
  private struct Found {
    var key: UnsafeRawBufferPointer
    var newer: SkipNode?
    var older: SkipNode?
    var disk: KeyRow?

    /// The visible version in the generations.
    @inline(__always)
    func record(limit: Int64) -> VersionRecord? {
      if let newer, let record = VersionRecord.visible(newer.record, limit: limit) { return record }
      if let older, let record = VersionRecord.visible(older.record, limit: limit) { return record }
      return nil
    }
  }

  @inline(__always)
  private func merge(
    from: [UInt8], to: KeyBound, _ body: (borrowing Found) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    try from.withBytes { (from: UnsafeRawBufferPointer) throws(StoreError) in
      switch to {
      case .unbounded: try merge(from: from, to: nil, body)
      case .before(let end):
        try end.withBytes { (end: UnsafeRawBufferPointer) throws(StoreError) in
          try merge(from: from, to: end, body)
        }
      }
    }
  }

  @inline(__always)
  private func merge(
    from: UnsafeRawBufferPointer, to: UnsafeRawBufferPointer?,
    _ body: (borrowing Found) throws(StoreError) -> ScanStep
  ) throws(StoreError) {
    var newerNode = newer?.keys.firstNode(atOrAbove: from)
    var olderNode = older?.keys.firstNode(atOrAbove: from)
    var disk = try KeyCursor(transaction, file.tables, path: file.path)
    try disk.seek(from)
    while true {
      // The smallest key, and who has it.
      var found: Found
      if disk.isValid {
        found = Found(key: disk.key, disk: nil)
        var hasDisk = true
        if let node = olderNode {
          let order = compareKeys(node.key, found.key)
          if order <= 0 {
            found.key = node.key
            found.older = node
            hasDisk = order == 0
          }
        }
        if let node = newerNode {
          let order = compareKeys(node.key, found.key)
          if order <= 0 {
            found.key = node.key
            found.newer = node
            if order < 0 {
              found.older = nil
              hasDisk = false
            }
          }
        }
        if let to, compareKeys(found.key, to) >= 0 { return }
        if hasDisk { found.disk = try disk.row() }
      } else {
        switch (newerNode, olderNode) {
        case (nil, nil): return
        case (let node?, nil): found = Found(key: node.key, newer: node)
        case (nil, let node?): found = Found(key: node.key, older: node)
        case (let first?, let second?):
          let order = compareKeys(first.key, second.key)
          found = Found(
            key: order <= 0 ? first.key : second.key, newer: order <= 0 ? first : nil,
            older: order >= 0 ? second : nil)
        }
        if let to, compareKeys(found.key, to) >= 0 { return }
      }
      if try body(found) == .stop { return }
      if let node = found.newer { newerNode = node.next(0) }
      if let node = found.older { olderNode = node.next(0) }
      if found.disk != nil { try disk.next() }
    }
  }
}
