internal import Model

// Writing the log: appends, what is durable, what a snapshot replaces.
extension RaftLog {
  /// Whether something is not durable yet.
  var hasUnstable: Bool { stableIndex < lastIndex }
  var hasUnissued: Bool { issuedIndex < lastIndex }

  /// A leader's own entries, behind everything there is.
  mutating func append(term: UInt64, kind: Entry.Kind, data: [UInt8]) -> UInt64 {
    precondition(term >= lastTerm, "terms never decrease within a log")
    let index = lastIndex + 1
    windowBytes += data.count
    entries.append(Entry(term: term, index: index, kind: kind, data: data))
    return index
  }

  /// Replaces everything from `incoming.first` on. Never touches committed entries: the caller has checked.
  mutating func replaceSuffix(_ incoming: ArraySlice<Entry>) {
    guard let first = incoming.first else { return }
    precondition(first.index > commitIndex && first.index <= lastIndex + 1 && first.index > baseIndex)
    if first.index <= lastIndex {
      if first.index <= stableIndex + 1 {
        tracer.info("replace the unstable entries from index \(first.index)")
      } else {
        tracer.info("truncate the unstable entries before index \(first.index)")
      }
      truncate(from: first.index)
    }
    for entry in incoming { windowBytes += entry.data.count }
    entries.append(contentsOf: incoming)
  }

  /// What was durable or under way from `index` on counts no longer: the entries that follow are others.
  private mutating func truncate(from index: UInt64) {
    let start = position(index)
    for entry in entries[start...] { windowBytes -= entry.data.count }
    entries.removeSubrange(start...)
    issuedIndex = min(issuedIndex, index - 1)
    stableIndex = min(stableIndex, index - 1)
  }

  /// The entries that the log stage has not got yet.
  var unissued: [Entry] {
    issuedIndex < lastIndex ? Array(entries[position(issuedIndex + 1)...]) : []
  }

  /// The snapshot that the log stage has not got yet.
  var unissuedSnapshot: SnapshotMetadata? {
    guard let snapshot, !snapshot.isIssued else { return nil }
    return snapshot.metadata
  }

  /// The log stage has everything there is.
  mutating func issued() {
    issuedIndex = lastIndex
    snapshot?.isIssued = true
  }

  /// Everything up to the entry (index, term) is durable, if that is still the entry at `index`. The caller vouches
  /// that no write under way can replace it any more: the report is of this member's present term.
  mutating func stable(index: UInt64, term: UInt64) {
    guard index > stableIndex, let known = self.term(at: index) else {
      if let snapshot, index == snapshot.metadata.index {
        tracer.info("entry at index \(index) matched unstable snapshot; ignoring")
      } else {
        tracer.info("entry at index \(index) missing from unstable log; ignoring")
      }
      return
    }
    guard known == term else {
      return tracer.info(
        "entry at (index,term)=(\(index),\(term)) mismatched with entry at (\(index),\(known)) in unstable log; ignoring"
      )
    }
    stableIndex = index
    issuedIndex = max(issuedIndex, index)
  }

  /// Forgets the log in favour of a snapshot, which is committed by nature.
  mutating func restore(_ metadata: SnapshotMetadata) {
    precondition(metadata.index > commitIndex, "a snapshot older than what is committed")
    tracer.info("log [\(self)] starts to restore snapshot [index: \(metadata.index), term: \(metadata.term)]")
    entries.removeAll()
    windowBytes = 0
    baseIndex = metadata.index
    baseTerm = metadata.term
    issuedIndex = metadata.index
    stableIndex = metadata.index
    snapshot = PendingSnapshot(metadata: metadata)
    commit(to: metadata.index)
  }

  /// The snapshot of `index` is in place: the state machine is at that index.
  mutating func installed(snapshotIndex index: UInt64) {
    if snapshot?.metadata.index == index { snapshot = nil }
  }

  /// Drops entries through `index` from memory. They must be applied and durable.
  mutating func compact(through index: UInt64) {
    precondition(index <= appliedIndex && index <= stableIndex, "only what is applied may be dropped")
    guard index > baseIndex else { return }
    let count = Int(index - baseIndex)
    for entry in entries[..<count] { windowBytes -= entry.data.count }
    baseTerm = entries[count - 1].term
    baseIndex = index
    entries.removeFirst(count)
  }
}
