import Model

extension Compare {
  /// True if the comparison holds for every key it names. A range without keys is compared as one missing key:
  /// its numbers are zero, and no value equals, exceeds or differs from a missing one.
  func holds(in reader: some KeyReader, at revision: Int64) throws(StoreError) -> Bool {
    let comparesValues = target == Target.value.rawValue
    switch KeyInterval(key: key, rangeEnd: rangeEnd) {
    case .empty: return holdsForMissingKey
    case .point(let key):
      guard let row = try reader.live(key, at: revision) else { return holdsForMissingKey }
      return try holds(for: row)
    case .range(let from, let to):
      var holdsForAll = true
      var isEmpty = true
      try reader.scan(from: from, to: to, at: revision, content: comparesValues ? .keyValue : .metadata) {
        (row) throws(StoreError) -> ScanStep in
        isEmpty = false
        holdsForAll = try holds(for: row)
        return holdsForAll ? .next : .stop
      }
      return isEmpty ? holdsForMissingKey : holdsForAll
    }
  }

  private var holdsForMissingKey: Bool {
    switch Target(rawValue: target) {
    case .value: false
    case .version, .create, .mod, .lease: matches(0, number)
    case nil: matches(0, 0)
    }
  }

  private func holds(for row: Row) throws(StoreError) -> Bool {
    switch Target(rawValue: target) {
    case .version: return matches(row.version.version, number)
    case .create: return matches(row.version.create, number)
    case .mod: return matches(row.version.mod.main, number)
    case .lease: return matches(row.version.lease, number)
    case nil: return matches(0, 0)
    case .value:
      let stored = try row.parsed().value
      let given = if case .value(let value) = operand { value } else { [UInt8]() }
      if stored.elementsEqual(given) { return matches(0, 0) }
      return stored.lexicographicallyPrecedes(given) ? matches(0, 1) : matches(1, 0)
    }
  }

  /// The number compared with: that of the target's own union member, any other counts as missing.
  private var number: Int64 {
    switch (Target(rawValue: target), operand) {
    case (.version, .version(let value)), (.create, .createRevision(let value)),
      (.mod, .modRevision(let value)), (.lease, .lease(let value)):
      value
    default: 0
    }
  }

  /// An unknown result always holds.
  private func matches(_ stored: Int64, _ given: Int64) -> Bool {
    switch Result(rawValue: result) {
    case .equal: stored == given
    case .notEqual: stored != given
    case .greater: stored > given
    case .less: stored < given
    case nil: true
    }
  }
}
