internal import Model

/// The log as the machine sees it: an in-memory window and five marks.
///
///     base < first ............................ last
///            |          |          |         |
///         applied <= handed <= min(commit, stable)      stable <= issued <= last
///
/// `issued`: handed to the log stage. `stable`: durable. `handed`: given to apply. `base` is the last index
/// dropped from memory, whose term is still known.
struct RaftLog {
  private(set) var entries: [Entry]
  private(set) var baseIndex: UInt64
  private(set) var baseTerm: UInt64
  private(set) var issuedIndex: UInt64
  private(set) var stableIndex: UInt64
  private(set) var commitIndex: UInt64
  private(set) var handedIndex: UInt64
  private(set) var appliedIndex: UInt64
  private(set) var windowBytes = 0
  /// Handed to apply and not yet applied.
  private(set) var applyingBytes = 0
  /// Appends under way, each with the last index it still makes durable: a later truncation lowers it, so that
  /// a late completion never vouches for an entry that took a superseded one's place.
  private var appendsUnderWay: [(sequence: UInt64, last: UInt64)] = []

  init(recovery: RaftRecovery) {
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
    for entry in entries { windowBytes += entry.data.count }
  }

  var firstIndex: UInt64 { baseIndex + 1 }
  var lastIndex: UInt64 { baseIndex + UInt64(entries.count) }
  var lastTerm: UInt64 { entries.last?.term ?? baseTerm }
  var hasUnissued: Bool { issuedIndex < lastIndex }

  /// The term of the entry at `index`, or nil if it is compacted or beyond the end.
  func term(at index: UInt64) -> UInt64? {
    if index == baseIndex { return baseTerm }
    guard index > baseIndex, index <= lastIndex else { return nil }
    return entries[position(index)].term
  }

  /// Whether a log ending in (index, term) is at least as complete as this one.
  func isUpToDate(index: UInt64, term: UInt64) -> Bool {
    term > lastTerm || (term == lastTerm && index >= lastIndex)
  }

  mutating func append(term: UInt64, kind: Entry.Kind, data: [UInt8]) -> UInt64 {
    let index = lastIndex + 1
    windowBytes += data.count
    entries.append(Entry(term: term, index: index, kind: kind, data: data))
    return index
  }

  /// The first of `incoming` (contiguous, following a matching previous entry) that this log lacks or holds
  /// with another term; nil if it holds them all.
  func firstConflict(_ incoming: [Entry]) -> Int? {
    for (offset, entry) in incoming.enumerated() where entry.index > baseIndex {
      if term(at: entry.index) != entry.term { return offset }
    }
    return nil
  }

  /// Replaces everything from `incoming.first` on. Never touches committed entries: the caller has checked.
  mutating func replaceSuffix(_ incoming: ArraySlice<Entry>) {
    guard let first = incoming.first else { return }
    precondition(first.index > commitIndex && first.index <= lastIndex + 1 && first.index > baseIndex)
    if first.index <= lastIndex { truncate(from: first.index) }
    for entry in incoming { windowBytes += entry.data.count }
    entries.append(contentsOf: incoming)
  }

  private mutating func truncate(from index: UInt64) {
    let start = position(index)
    for entry in entries[start...] { windowBytes -= entry.data.count }
    entries.removeSubrange(start...)
    issuedIndex = min(issuedIndex, index - 1)
    stableIndex = min(stableIndex, index - 1)
    for position in appendsUnderWay.indices {
      appendsUnderWay[position].last = min(appendsUnderWay[position].last, index - 1)
    }
  }

  /// The entries the log stage has not got yet, marked as issued under `sequence`.
  mutating func issue(sequence: UInt64) -> [Entry] {
    let fresh = Array(entries[position(issuedIndex + 1)...])
    issuedIndex = lastIndex
    appendsUnderWay.append((sequence, lastIndex))
    return fresh
  }

  /// The log stage made all appends up to `sequence` durable.
  mutating func appended(sequence: UInt64) {
    var done = 0
    while done < appendsUnderWay.count, appendsUnderWay[done].sequence <= sequence {
      stableIndex = max(stableIndex, appendsUnderWay[done].last)
      done += 1
    }
    appendsUnderWay.removeFirst(done)
    precondition(stableIndex <= issuedIndex)
  }

  mutating func commit(to index: UInt64) {
    precondition(index <= lastIndex, "commit beyond the log")
    commitIndex = max(commitIndex, index)
  }

  /// The bytes of the entries of `term` in (after, through].
  func bytes(after: UInt64, through: UInt64, ofTerm term: UInt64) -> Int {
    var bytes = 0
    for entry in entries[position(after + 1)...position(through)] where entry.term == term {
      bytes += entry.data.count
    }
    return bytes
  }

  /// Whether one of the entries in (after, through] changes the configuration.
  func changesConfiguration(after: UInt64, through: UInt64) -> Bool {
    guard after < through else { return false }
    return entries[position(after + 1)...position(through)].contains { $0.kind != .normal }
  }

  /// The next committed and durable entries for apply, as far as the byte credit goes; always at least one when
  /// nothing is being applied.
  mutating func handOut(creditBytes: Int) -> [Entry] {
    let end = min(commitIndex, stableIndex)
    guard handedIndex < end, applyingBytes == 0 || applyingBytes < creditBytes else { return [] }
    let start = position(handedIndex + 1)
    var stop = start
    let limit = position(end)
    repeat {
      applyingBytes += entries[stop].data.count
      stop += 1
    } while stop <= limit && applyingBytes < creditBytes
    handedIndex += UInt64(stop - start)
    return Array(entries[start..<stop])
  }

  mutating func applied(to index: UInt64, limits: RaftLimits) {
    precondition(index <= handedIndex, "applied what was never handed out")
    guard index > appliedIndex else { return }
    for entry in entries[position(appliedIndex + 1)...position(index)] { applyingBytes -= entry.data.count }
    appliedIndex = index
    dropOldEntries(limits: limits)
  }

  /// Drops applied entries beyond the catch-up window, an eighth of the window at a time, since each drop moves
  /// what stays.
  private mutating func dropOldEntries(limits: RaftLimits) {
    let appliedCount = Int(appliedIndex - baseIndex)
    let excess = appliedCount - limits.catchUpEntries
    let tooMany = excess > limits.catchUpEntries / 8
    let tooLarge = windowBytes > limits.catchUpBytes + limits.catchUpBytes / 8
    guard tooMany || tooLarge, appliedCount > 0 else { return }
    var count = 0
    while count < appliedCount, count < excess || windowBytes > limits.catchUpBytes {
      windowBytes -= entries[count].data.count
      count += 1
    }
    guard count > 0 else { return }
    baseTerm = entries[count - 1].term
    baseIndex += UInt64(count)
    entries.removeFirst(count)
  }

  /// Entries from `index` on, at most `maxCount` and `maxBytes` (one larger entry still comes, alone).
  func slice(from index: UInt64, maxCount: Int, maxBytes: Int) -> [Entry] {
    guard index > baseIndex, index <= lastIndex, maxCount > 0 else { return [] }
    let start = position(index)
    var stop = start
    var bytes = 0
    while stop < entries.count, stop - start < maxCount {
      bytes += entries[stop].data.count
      if bytes > maxBytes && stop > start { break }
      stop += 1
    }
    return Array(entries[start..<stop])
  }

  /// The largest index up to `index` whose term is at most `term`, and its term (0 if compacted away): where
  /// two logs may agree, for skipping a whole term of conflicts at once.
  func lastIndex(upTo index: UInt64, withTermAtMost term: UInt64) -> (index: UInt64, term: UInt64) {
    var candidate = min(index, lastIndex)
    while candidate > baseIndex {
      let found = entries[position(candidate)].term
      if found <= term { return (candidate, found) }
      candidate -= 1
    }
    if candidate == baseIndex && baseTerm <= term { return (candidate, baseTerm) }
    return (candidate, 0)
  }

  private func position(_ index: UInt64) -> Int { Int(index - baseIndex - 1) }
}
