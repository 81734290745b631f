internal import Model

// Handing committed entries to the apply stage.
extension RaftLog {
  /// The last index that may be applied. Apply never overtakes the local log, unless `evenUnstable`.
  private func applicableIndex(evenUnstable: Bool) -> UInt64 {
    evenUnstable ? commitIndex : min(commitIndex, stableIndex)
  }

  func hasCommitted(evenUnstable: Bool) -> Bool {
    !isApplyPaused && snapshot == nil && handedIndex < applicableIndex(evenUnstable: evenUnstable)
  }

  /// The next entries for apply, as far as the credit goes; at least one when nothing is being applied.
  func nextCommitted(evenUnstable: Bool, creditBytes: Int) -> [Entry] {
    guard hasCommitted(evenUnstable: evenUnstable) else { return [] }
    return slice(
      from: handedIndex + 1, through: applicableIndex(evenUnstable: evenUnstable),
      maxBytes: creditBytes - applyingBytes)
  }

  /// `handed` are with the apply stage. Pauses when the credit is used up, or would be by the next entry.
  mutating func handed(_ handed: [Entry], evenUnstable: Bool, creditBytes: Int) {
    guard let last = handed.last else { return }
    precondition(handed[0].index == handedIndex + 1 && last.index <= commitIndex, "each entry once, in order")
    handedIndex = last.index
    for entry in handed { applyingBytes += entry.encodedSize }
    isApplyPaused = applyingBytes >= creditBytes || last.index < applicableIndex(evenUnstable: evenUnstable)
  }

  /// Everything up to `index` is applied. Returns the payload bytes of what was applied now.
  mutating func applied(to index: UInt64, creditBytes: Int) -> Int {
    precondition(index <= commitIndex, "applied what is not committed")
    guard index > appliedIndex else { return 0 }
    var payload = 0
    for index in max(appliedIndex, baseIndex)..<max(index, baseIndex) {
      let entry = entries[position(index + 1)]
      payload += entry.data.count
      applyingBytes -= min(applyingBytes, entry.encodedSize)
    }
    appliedIndex = index
    handedIndex = max(handedIndex, index)
    if handedIndex == appliedIndex { applyingBytes = 0 }
    isApplyPaused = applyingBytes >= creditBytes
    return payload
  }

  /// Drops applied entries beyond the catch-up window, an eighth of the window at a time, since each drop moves
  /// what stays.
  mutating func dropOldEntries(limits: RaftLimits) {
    let droppable = min(appliedIndex, stableIndex)
    guard droppable > baseIndex else { return }
    let excess = Int(droppable - baseIndex) - limits.catchUpEntries
    let tooMany = excess > limits.catchUpEntries / 8
    let tooLarge = windowBytes > limits.catchUpBytes &+ limits.catchUpBytes / 8
    guard tooMany || tooLarge else { return }
    var bytes = windowBytes
    var count = 0
    while count < Int(droppable - baseIndex), count < excess || bytes > limits.catchUpBytes {
      bytes -= entries[count].data.count
      count += 1
    }
    compact(through: baseIndex + UInt64(count))
  }
}
