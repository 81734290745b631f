internal import Model

/// The log as the machine sees it: an in-memory window and five marks.
///
///     base < first ............................ last
///            |          |          |         |
///         applied <= handed <= commit        stable <= issued <= last
///
/// `issued`: handed to the log stage. `stable`: durable. `handed`: given to apply. `base` is the last index dropped
/// from memory, whose term is still known. While a snapshot is being installed, `base` is its index and nothing is
/// handed out; `applied` follows when it is in place.
struct RaftLog {
  var entries: [Entry]
  var baseIndex: UInt64
  var baseTerm: UInt64
  var issuedIndex: UInt64
  var stableIndex: UInt64
  private(set) var commitIndex: UInt64
  var handedIndex: UInt64
  var appliedIndex: UInt64
  var windowBytes = 0
  /// Entries from here on that are no longer in memory can be read back.
  var keptIndex = UInt64.max
  /// Encoded bytes handed to apply and not yet applied.
  var applyingBytes = 0
  /// Apply has as much as it may; nothing more until some of it is applied.
  var isApplyPaused = false
  var snapshot: PendingSnapshot?
  let tracer: Tracer

  /// A snapshot that replaced the log and is not in place yet.
  struct PendingSnapshot {
    var metadata: SnapshotMetadata
    /// Handed to the log stage.
    var isIssued = false
  }

  init(recovery: RaftRecovery, tracer: Tracer) {
    entries = recovery.entries
    baseIndex = recovery.compactedIndex
    baseTerm = recovery.compactedTerm
    let last = recovery.compactedIndex + UInt64(recovery.entries.count)
    precondition(recovery.entries.isEmpty || recovery.entries[0].index == recovery.compactedIndex + 1)
    precondition(recovery.compactedIndex <= recovery.appliedIndex && recovery.appliedIndex <= last)
    precondition(recovery.hardState.commit <= last, "the log lost committed entries")
    issuedIndex = last
    stableIndex = last
    // The store may have synced an index whose commit mark the log had not recorded yet.
    commitIndex = max(recovery.hardState.commit, recovery.appliedIndex)
    handedIndex = recovery.appliedIndex
    appliedIndex = recovery.appliedIndex
    self.tracer = tracer
    for entry in entries { windowBytes += entry.data.count }
  }

  var firstIndex: UInt64 { baseIndex + 1 }
  var lastIndex: UInt64 { baseIndex + UInt64(entries.count) }
  var lastTerm: UInt64 { entries.last?.term ?? baseTerm }

  /// The first index that a peer's log may end before without needing a snapshot.
  var firstReachableIndex: UInt64 { keptIndex < firstIndex ? keptIndex + 1 : firstIndex }

  /// The term of the entry at `index`, or nil if it is compacted or beyond the end.
  func term(at index: UInt64) -> UInt64? {
    if index == baseIndex { return baseTerm }
    guard index > baseIndex, index <= lastIndex else { return nil }
    return entries[position(index)].term
  }

  func matches(index: UInt64, term: UInt64) -> Bool { self.term(at: index) == term }

  /// Whether a log that ends at (index, term) holds at least what this one holds, as far as votes go.
  func isUpToDate(index: UInt64, term: UInt64) -> Bool {
    term > lastTerm || (term == lastTerm && index >= lastIndex)
  }

  /// The first of `incoming` (contiguous, following a matching previous entry) that this log lacks or holds
  /// with another term; nil if it holds them all.
  func firstConflict(_ incoming: [Entry]) -> Int? {
    for (offset, entry) in incoming.enumerated() where !matches(index: entry.index, term: entry.term) {
      if entry.index <= lastIndex {
        let known = term(at: entry.index) ?? 0
        tracer.info(
          "found conflict at index \(entry.index) [existing term: \(known), conflicting term: \(entry.term)]")
      }
      return offset
    }
    return nil
  }

  /// The largest index up to `index` whose term is at most `term`, and its term (0 if it is not known here): where
  /// two logs may agree, for skipping a whole term of conflicts at once.
  func possibleMatch(upTo index: UInt64, term limit: UInt64) -> (index: UInt64, term: UInt64) {
    var index = index
    while index > 0 {
      guard let known = term(at: index) else { return (index, 0) }
      if known <= limit { return (index, known) }
      index -= 1
    }
    return (0, 0)
  }

  /// Never decreases. The caller has checked that the log reaches that far.
  mutating func commit(to index: UInt64) {
    precondition(index <= lastIndex, "commit beyond the log")
    commitIndex = max(commitIndex, index)
  }

  /// Whether one of the entries in (after, through] changes the configuration.
  func changesConfiguration(after: UInt64, through: UInt64) -> Bool {
    guard after < through else { return false }
    let from = max(after, baseIndex)
    guard from < through else { return false }
    return entries[position(from + 1)...position(through)].contains { $0.kind != .normal }
  }

  /// Entries from `index` on, at most `maxCount` and `maxBytes` encoded (one larger entry still comes, alone).
  func slice(from index: UInt64, through end: UInt64, maxCount: Int = .max, maxBytes: Int) -> [Entry] {
    guard index > baseIndex, index <= end, end <= lastIndex, maxCount > 0 else { return [] }
    let start = position(index)
    var stop = start
    var bytes = 0
    while stop <= position(end), stop - start < maxCount {
      bytes += entries[stop].encodedSize
      if bytes > maxBytes && stop > start { break }
      stop += 1
    }
    return Array(entries[start..<stop])
  }

  func position(_ index: UInt64) -> Int { Int(index - baseIndex - 1) }
}

extension RaftLog: CustomStringConvertible {
  /// As etcd's logs write it.
  var description: String {
    let marks = "committed=\(commitIndex), applied=\(appliedIndex), applying=\(handedIndex)"
    let unstable = "unstable.offset=\(stableIndex + 1), unstable.offsetInProgress=\(issuedIndex + 1)"
    return "\(marks), \(unstable), len(unstable.Entries)=\(lastIndex - stableIndex)"
  }
}
