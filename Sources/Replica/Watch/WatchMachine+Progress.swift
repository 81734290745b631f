internal import Primitives

// Progress: bookmarks that no event below may follow.

extension WatchMachine {
  private enum Progress { case send, wait, drop }

  /// Answers the requests for progress that can be answered.
  mutating func settleProgress(_ sink: inout some WatchSink) {
    guard !progressWaiters.isEmpty else { return }
    var kept = 0
    for position in progressWaiters.indices {
      let stream = progressWaiters[position]
      guard isOpen(stream) else { continue }
      switch progress(of: stream.slot) {
      case .send: sink.progress(stream, watchID: -1, revision: feedNext - 1)
      case .drop: break
      case .wait:
        progressWaiters[kept] = stream
        kept += 1
        continue
      }
      streams[Int(stream.slot)].awaitsProgress = false
    }
    progressWaiters.removeLast(progressWaiters.count - kept)
  }

  private mutating func progress(of slot: UInt32) -> Progress {
    let stream = streams[Int(slot)]
    if stream.watcherCount == stream.compactedCount { return .drop }
    if max(stream.cursorMax, stream.startMax) >= feedNext, !stream.areMaximaExact { findMaxima(of: slot) }
    let (cursorMax, startMax) = (streams[Int(slot)].cursorMax, streams[Int(slot)].startMax)
    // A watcher that awaits a revision to come keeps the stream silent (20221).
    if startMax > revisionSeen { return .drop }
    if stream.laggingCount > 0 || stream.isFull || isFeedBehind { return .wait }
    return feedNext >= max(cursorMax, stream.progressFrom) && feedNext > startMax ? .send : .wait
  }

  private mutating func findMaxima(of stream: UInt32) {
    streams[Int(stream)].cursorMax = 0
    streams[Int(stream)].startMax = 0
    streams[Int(stream)].areMaximaExact = true
    var slot = streams[Int(stream)].watchers.first
    while slot != noSlot {
      let watcher = watchers[Int(slot)]
      if watcher.state != .compacted { streams[Int(stream)].raiseMaxima(watcher) }
      slot = streamLinks.next(slot)
    }
  }

  /// Time went on: milliseconds since any fixed moment. Sends periodic progress to the watchers that asked for it and
  /// got no event since the last time, if they are at the front.
  public mutating func tick(nowMilliseconds now: UInt64, _ sink: inout some WatchSink) {
    startTimers(now)
    while let timer = timers.take(dueBy: now) {
      guard isOpen(timer.stream) else { continue }
      let stream = Int(timer.stream.slot)
      guard streams[stream].progressCount > 0 else {
        streams[stream].timerRuns = false
        continue
      }
      sendPeriodicProgress(timer.stream, &sink)
      timers.insert(WatchTimers.Timer(due: now &+ streams[stream].progressPeriod, stream: timer.stream))
    }
  }

  private mutating func startTimers(_ now: UInt64) {
    if timers.count + newTimers.count > 2 * streamCount + 64 {
      let open = streams
      timers.keep { open[Int($0.slot)].isOpen && open[Int($0.slot)].generation == $0.generation }
    }
    for stream in newTimers where isOpen(stream) {
      timers.insert(WatchTimers.Timer(due: now &+ streams[Int(stream.slot)].progressPeriod, stream: stream))
    }
    newTimers.removeAll()
  }

  private mutating func sendPeriodicProgress(_ stream: WatchStreamID, _ sink: inout some WatchSink) {
    var slot = streams[Int(stream.slot)].watchers.first
    while slot != noSlot {
      let watcher = watchers[Int(slot)]
      if watcher.progressNotify {
        if watcher.isProgressDue, watcher.state == .live,
          watcher.cursor < feedNext || (watcher.cursor == feedNext && !watcher.awaitsStart),
          !streams[Int(stream.slot)].isFull
        {
          sink.progress(stream, watchID: watcher.watchID, revision: feedNext - 1)
        }
        watchers[Int(slot)].isProgressDue = true
      }
      slot = streamLinks.next(slot)
    }
  }

  /// The stream has a watcher with periodic progress: its time begins, with a period of its own, so that streams opened
  /// together do not report together.
  mutating func startTimer(_ stream: WatchStreamID) {
    let slot = Int(stream.slot)
    guard !streams[slot].timerRuns else { return }
    streams[slot].timerRuns = true
    let jitter = UInt64.random(in: 0...(limits.progressMilliseconds / 10), using: &random)
    streams[slot].progressPeriod = limits.progressMilliseconds + jitter
    newTimers.append(stream)
  }
}
