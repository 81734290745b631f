public import Model

// The feed of live batches, and what closes its gaps.

extension WatchMachine {
  /// The next batch of the feed. When a feed begins, its first batch says where it does: `EventBatch(first: r + 1,
  /// last: r)` if revisions up to r are not coming, so that what happened since a watcher's creation is read from
  /// history at once.
  public mutating func live(_ batch: EventBatch, _ sink: inout some WatchSink) {
    revisionSeen = max(revisionSeen, batch.lastRevision)
    if watcherCount == 0 { return beginFeed(at: batch.lastRevision + 1) }
    if isFeedBehind {
      keep(batch)
    } else if batch.lastRevision >= feedNext {
      if batch.isComplete, batch.firstRevision <= feedNext {
        dispatchLive(batch, &sink)
      } else {
        isFeedBehind = true
        feedThrough = 0
        keep(batch)
        readForFeed(&sink)
      }
    }
    settleProgress(&sink)
  }

  /// Nobody watched: nothing before `revision` is wanted.
  mutating func beginFeed(at revision: Int64) {
    feedNext = max(feedNext, revision)
    isFeedBehind = false
    dropBacklog()
    reads.removeAll { $0.isForFeed }
  }

  /// Gives a batch that reaches `feedNext` to the live watchers.
  private mutating func dispatchLive(_ batch: EventBatch, _ sink: inout some WatchSink) {
    responses.beginBatch()
    var start = batch.items.firstIndex { $0.mainRevision >= feedNext } ?? batch.items.count
    while start < batch.items.count {
      targets.beginMatch()
      let end = targets.matchLive(batch, from: start, matchesMax: limits.matchesAtOnce)
      let through = batch.through(end)
      for position in targets.touched.indices {
        let touched = targets.touched[position]
        responses.beginTarget()
        var slot = targets[touched.target].live.first
        while slot != noSlot {
          let next = targetLinks.next(slot)
          if let missed = deliver(batch, to: slot, match: touched.first, through: through, &sink) {
            fallBehind(slot, cursor: missed)
          }
          slot = next
        }
      }
      start = end
    }
    feedNext = batch.lastRevision + 1
  }

  /// Sends a watcher what it wants of its target's matches, in responses that come from one making. Returns the first
  /// revision that its stream did not take; nil: it has everything up to `through`.
  mutating func deliver(
    _ batch: EventBatch, to slot: UInt32, match: Int32, through: Int64, _ sink: inout some WatchSink
  ) -> Int64? {
    let watcher = watchers[Int(slot)]
    let stream = Int(watcher.stream)
    var match = match
    while match >= 0, batch.items[Int(targets.matches[Int(match)].item)].mainRevision < watcher.cursor {
      match = targets.matches[Int(match)].next
    }
    guard match >= 0 else { return nil }
    let range = responses.obtain(watcher.form, match: match, of: targets.matches, batch, limits, &sink)
    var goesOn = false
    for position in range {
      let response = responses.list[position]
      // Fragments of a revision stay together: a full stream takes the rest of them.
      if streams[stream].isFull, !goesOn { return response.first }
      goesOn = response.goesOn
      // The header tells how far the watcher has come: not beyond what is still to be sent.
      let revision = position == range.upperBound - 1 ? through : response.last
      let takesMore = sink.events(
        streamID(watcher.stream), watchID: watcher.watchID, revision: revision, fragment: goesOn,
        response.body)
      if !takesMore { streams[stream].isFull = true }
      watchers[Int(slot)].isProgressDue = false
    }
    return nil
  }
}

// MARK: - Gaps

extension WatchMachine {
  /// Keeps a batch for when history has reached it.
  private mutating func keep(_ batch: EventBatch) {
    feedThrough = max(feedThrough, batch.lastRevision)
    guard batch.isComplete else { return }
    backlog.append(batch)
    backlogBytes += batch.footprintBytes
    // History brings it too.
    if backlogBytes > limits.backlogBytes { dropBacklog() }
  }

  private mutating func dropBacklog() {
    backlog.removeAll()
    backlogBytes = 0
  }

  /// All keys are wanted: a watcher that becomes live while the read is under way is served by it too.
  private mutating func readForFeed(_ sink: inout some WatchSink) {
    startRead(.feed, from: feedNext, wanted: .keys(.all), members: [], &sink)
  }

  mutating func feedAnswered(_ result: HistoryAnswer.Result, _ sink: inout some WatchSink) {
    switch result {
    case .events(let batch) where batch.isComplete:
      dispatchLive(batch, &sink)
    case .events(let batch):
      for slot in liveWatchers(below: batch.lastRevision + 1) { cancelOversized(slot, &sink) }
      feedNext = max(feedNext, batch.lastRevision + 1)
    case .compacted(let revision):
      for slot in liveWatchers(below: revision) { cancelCompacted(slot, compactRevision: revision, &sink) }
      feedNext = max(feedNext, revision)
    }
    if watcherCount == 0 { return beginFeed(at: feedThrough + 1) }
    takeBacklog(&sink)
    if feedNext > feedThrough {
      isFeedBehind = false
      dropBacklog()
    } else {
      readForFeed(&sink)
    }
  }

  /// Live watchers that have not reached `revision`.
  private func liveWatchers(below revision: Int64) -> [UInt32] {
    guard feedNext < revision else { return [] }
    return (0..<UInt32(watchers.count)).filter {
      watchers[Int($0)].state == .live && watchers[Int($0)].cursor < revision
    }
  }

  private mutating func takeBacklog(_ sink: inout some WatchSink) {
    var taken = 0
    while taken < backlog.count, backlog[taken].firstRevision <= feedNext {
      if backlog[taken].lastRevision >= feedNext { dispatchLive(backlog[taken], &sink) }
      backlogBytes -= backlog[taken].footprintBytes
      taken += 1
    }
    backlog.removeFirst(taken)
  }
}

extension EventBatch {
  /// The revision that is dealt with when the items before `end` are.
  func through(_ end: Int) -> Int64 { end == items.count ? lastRevision : items[end - 1].mainRevision }
}
