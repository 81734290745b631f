public import Model
public import NIOCore
public import Node
import Replica
import Synchronization

/// The fronts of all event loops: where answers and events of the member's thread find their way.
public final class FrontendGroup: Sendable {
  private struct Loop {
    var eventLoop: any EventLoop
    var front: LoopFrontend
    /// Whether it wants events.
    var isWatching = false
  }

  private let loops: Mutex<[Loop]>
  private let context: FrontendContext

  public init(context: FrontendContext) {
    self.context = context
    loops = Mutex([])
  }

  /// Makes the front of one more event loop.
  public func makeFront(_ eventLoop: any EventLoop) -> LoopFrontend {
    loops.withLock { loops in
      let front = LoopFrontend(context: context, eventLoop: eventLoop, group: self, loopIndex: loops.count)
      loops.append(Loop(eventLoop: eventLoop, front: front))
      let period = TimeAmount.nanoseconds(Int64(LoopFrontend.periodNanoseconds))
      eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { [weak front] _ in
        front?.endPeriod()
      }
      return front
    }
  }

  /// A loop wants events from now on, or no more. The member's thread hears of it in the order in which the group
  /// does, and answers each beginning with where its feed stands.
  func setWatching(_ index: Int, _ isWatching: Bool) {
    loops.withLock { loops in
      loops[index].isWatching = isWatching
      let isWatched = loops.contains(where: \.isWatching)
      guard isWatching || !isWatched else { return }
      var inputs = [NodeInput.watched(isWatched)]
      context.submit(&inputs)
    }
  }

  /// Hands events to the loops that watch, and answers to the loops their tickets belong to: one hop a loop, the events
  /// first. From the member's thread.
  public func deliver(events: [EventBatch], answers: [Answer]) {
    guard !answers.isEmpty || !events.isEmpty else { return }
    let loops = self.loops.withLock { $0 }
    var shares = [[Answer]](repeating: [], count: loops.count)
    if loops.count == 1 {
      shares[0] = answers
    } else {
      for answer in answers {
        let loop = PendingCalls.loop(of: answer.ticket)
        if loop < shares.count { shares[loop].append(answer) }
      }
    }
    for (share, loop) in zip(shares, loops) {
      let front = loop.front
      let news = loop.isWatching ? front.admit(events) : []
      guard !share.isEmpty || !news.isEmpty else { continue }
      loop.eventLoop.execute { front.deliver(events: news, answers: share) }
    }
  }

  /// Tells all loops that a compaction's rows are gone. After the gauge says so.
  public func compactionFinished(_ revision: Int64) {
    for loop in loops.withLock({ $0 }) {
      loop.eventLoop.execute { loop.front.compactionFinished(revision) }
    }
  }

  /// Tells all loops that the gauge's `isServing` has changed.
  public func servingChanged() {
    for loop in loops.withLock({ $0 }) { loop.eventLoop.execute { loop.front.servingChanged() } }
  }

  /// What the loops have counted.
  public var metrics: [LoopMetrics] { loops.withLock { $0.map(\.front.metrics) } }

  /// What the loops can tell of themselves just now, each asked on its own thread.
  public func figures(_ eventLoop: any EventLoop) -> EventLoopFuture<[LoopFigures]> {
    let answers = loops.withLock { $0 }.map { loop in loop.eventLoop.submit { loop.front.figures } }
    return EventLoopFuture.whenAllSucceed(answers, on: eventLoop)
  }

  /// Asks whether a linearizable read would be answered, for /health.
  public func probe(_ eventLoop: any EventLoop) -> EventLoopFuture<ClientError?> {
    let promise = eventLoop.makePromise(of: ClientError?.self)
    guard let loop = loops.withLock({ $0.first }) else {
      promise.succeed(.serverStopped)
      return promise.futureResult
    }
    loop.eventLoop.execute {
      loop.front.confirmRead(nil, .probe { promise.succeed($0) })
    }
    return promise.futureResult
  }
}

/// A loop that falls behind is not sent ever more events: it is told of their revisions alone, and reads them from the
/// history when it comes to it.
extension LoopFrontend {
  /// Counts events that are about to be sent to this loop. From the member's thread.
  func admit(_ events: [EventBatch]) -> [EventBatch] {
    guard let first = events.first, let last = events.last else { return events }
    let bytes = events.reduce(0) { $0 + $1.footprintBytes }
    let before = deliveryBytes.load(ordering: .relaxed)
    guard before > 0, before + bytes > context.watch.deliveryBytesMax else {
      deliveryBytes.wrappingAdd(bytes, ordering: .relaxed)
      return events
    }
    let notice = EventBatch(first: first.firstRevision, last: last.lastRevision, isComplete: false)
    deliveryBytes.wrappingAdd(notice.footprintBytes, ordering: .relaxed)
    return [notice]
  }

  /// The loop has dealt with events that `admit` let through.
  func delivered(_ events: [EventBatch]) {
    deliveryBytes.wrappingSubtract(events.reduce(0) { $0 + $1.footprintBytes }, ordering: .relaxed)
  }
}
