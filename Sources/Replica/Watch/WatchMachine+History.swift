internal import Model

// Reading history for watchers that lag.

extension WatchMachine {
  /// Starts the reads that may be started. Watchers are taken in the order in which they began to wait, so that a long
  /// history read by one does not hold up the others.
  mutating func pump(_ sink: inout some WatchSink) {
    while !isScanning, rangeQueue.first != noSlot { startScan(&sink) }
    while keyReadCount < limits.keyReads, keyQueue.first != noSlot { startKeyRead(&sink) }
  }

  /// A walk of one key's chain, for all its watchers that begin within a slice of the first.
  private mutating func startKeyRead(_ sink: inout some WatchSink) {
    let head = keyQueue.first
    if blockIfFull(head) { return }
    let target = watchers[Int(head)].target
    let from = watchers[Int(head)].cursor
    var members: [UInt32] = []
    var slot = targets[target].lagging.first
    while slot != noSlot {
      let next = targetLinks.next(slot)
      if watchers[Int(slot)].state == .ready, isNear(slot, from), !blockIfFull(slot) {
        members.append(slot)
      }
      slot = next
    }
    for slot in members { unqueue(slot) }
    keyReadCount += 1
    startRead(.key(target: target), from: from, wanted: .key(targets[target].key), members: members, &sink)
  }

  /// A scan for the watchers that stand near the first in the queue.
  private mutating func startScan(_ sink: inout some WatchSink) {
    let head = rangeQueue.first
    if blockIfFull(head) { return }
    let from = watchers[Int(head)].cursor
    var members: [UInt32] = []
    targets.beginMatch()
    var slot = head
    for _ in 0..<limits.watchersPerScan where slot != noSlot {
      let next = queueLinks.next(slot)
      if isNear(slot, from), !blockIfFull(slot) {
        members.append(slot)
        targets.touch(watchers[Int(slot)].target)
      }
      slot = next
    }
    for slot in members { unqueue(slot) }
    isScanning = true
    let wanted = KeySet(targets.touched.map { targets[$0.target].interval })
    startRead(.scan, from: from, wanted: .keys(wanted), members: members, &sink)
  }

  private func isNear(_ slot: UInt32, _ from: Int64) -> Bool {
    let cursor = watchers[Int(slot)].cursor
    return cursor >= from && cursor - from < limits.sliceRevisions
  }

  /// Its stream filled up while the watcher waited.
  private mutating func blockIfFull(_ slot: UInt32) -> Bool {
    guard streams[Int(watchers[Int(slot)].stream)].isFull else { return false }
    unqueue(slot)
    makeReady(slot)
    return true
  }

  mutating func startRead(
    _ purpose: WatchRead.Purpose, from: Int64, wanted: HistoryRead.Wanted, members: [UInt32],
    _ sink: inout some WatchSink
  ) {
    lastReadID += 1
    for slot in members {
      watchers[Int(slot)].state = .reading
      watchers[Int(slot)].read = lastReadID
    }
    reads.append(WatchRead(id: lastReadID, from: from, purpose: purpose, members: members))
    sink.readHistory(
      HistoryRead(
        id: lastReadID, from: from, wanted: wanted, bytesMax: limits.sliceBytes,
        revisionsMax: limits.sliceRevisions))
  }
}

// MARK: - Answers

extension WatchMachine {
  /// What a read brought. An answer that nobody waits for any more is passed over.
  public mutating func history(_ answer: HistoryAnswer, _ sink: inout some WatchSink) {
    guard let position = reads.firstIndex(where: { $0.id == answer.id }) else { return }
    let read = reads.remove(at: position)
    if case .events(let batch) = answer.result {
      precondition(batch.firstRevision <= read.from, "the slice begins where it was asked for")
      revisionSeen = max(revisionSeen, batch.lastRevision)
    }
    switch read.purpose {
    case .feed:
      feedAnswered(answer.result, &sink)
    case .key:
      keyReadCount -= 1
      serve(read, answer.result, &sink)
    case .scan:
      isScanning = false
      serve(read, answer.result, &sink)
    }
    pump(&sink)
    settleProgress(&sink)
  }

  private mutating func serve(
    _ read: WatchRead, _ result: HistoryAnswer.Result, _ sink: inout some WatchSink
  ) {
    switch result {
    case .events(let batch) where batch.isComplete:
      serve(read, batch, &sink)
    case .events(let batch):
      for slot in read.members where isServed(slot, read, through: batch.lastRevision) {
        cancelOversized(slot, &sink)
      }
    case .compacted(let revision):
      for slot in read.members where isServed(slot, read, through: revision - 1) {
        cancelCompacted(slot, compactRevision: revision, &sink)
      }
    }
    // Those that begin behind the slice come first next time.
    for slot in read.members where isServed(slot, read, through: .max) { makeReady(slot, first: true) }
  }

  /// Whether the read is for this watcher, as it is now, and concerns it.
  private func isServed(_ slot: UInt32, _ read: WatchRead, through: Int64) -> Bool {
    let watcher = watchers[Int(slot)]
    return watcher.state == .reading && watcher.read == read.id && watcher.cursor <= through
  }

  private mutating func serve(_ read: WatchRead, _ batch: EventBatch, _ sink: inout some WatchSink) {
    responses.beginBatch()
    var start = 0
    repeat {
      targets.beginMatch()
      for slot in read.members where isServed(slot, read, through: batch.lastRevision) {
        targets.touch(watchers[Int(slot)].target)
      }
      if targets.touched.isEmpty { return }
      let end: Int
      if case .key = read.purpose {
        targets.matchAll(batch)
        end = batch.items.count
      } else {
        end = targets.matchTouched(batch, from: start, matchesMax: limits.matchesAtOnce)
      }
      serveTouched(read, batch, through: batch.through(end), isLast: end == batch.items.count, &sink)
      start = end
    } while start < batch.items.count
  }

  private mutating func serveTouched(
    _ read: WatchRead, _ batch: EventBatch, through: Int64, isLast: Bool, _ sink: inout some WatchSink
  ) {
    for position in targets.touched.indices {
      let touched = targets.touched[position]
      responses.beginTarget()
      var slot = targets[touched.target].lagging.first
      while slot != noSlot {
        let next = targetLinks.next(slot)
        if isServed(slot, read, through: through) {
          if let missed = deliver(batch, to: slot, match: touched.first, through: through, &sink) {
            advance(slot, to: missed)
          } else if isLast {
            advance(slot, to: through + 1)
          } else {
            watchers[Int(slot)].cursor = through + 1
          }
        }
        slot = next
      }
    }
  }

  /// One revision alone is more than a batch, or a message, can hold (4 GiB).
  mutating func cancelOversized(_ slot: UInt32, _ sink: inout some WatchSink) {
    let watcher = watchers[Int(slot)]
    removeWatcher(slot)
    sink.cancelled(
      streamID(watcher.stream), watchID: watcher.watchID, revision: feedNext - 1, compactRevision: 0,
      reason: ClientError.requestTooLarge.message)
  }
}

extension WatchRead {
  var isForFeed: Bool {
    if case .feed = purpose { return true }
    return false
  }
}
