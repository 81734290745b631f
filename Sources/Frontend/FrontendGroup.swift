public import Model
public import NIOCore
public import Node
import Replica
import Synchronization

/// The fronts of all event loops: where answers of the member's thread find their way back.
public final class FrontendGroup: Sendable {
  private let loops: Mutex<[(eventLoop: any EventLoop, front: LoopFrontend)]>
  private let context: FrontendContext

  public init(context: FrontendContext) {
    self.context = context
    loops = Mutex([])
  }

  /// Makes the front of one more event loop.
  public func makeFront(_ eventLoop: any EventLoop) -> LoopFrontend {
    loops.withLock { loops in
      let front = LoopFrontend(context: context, loopIndex: loops.count)
      loops.append((eventLoop, front))
      return front
    }
  }

  /// Hands answers to the loops their tickets belong to, one hop a loop. From the member's thread.
  public func deliver(_ answers: [Answer]) {
    guard !answers.isEmpty else { return }
    let loops = self.loops.withLock { $0 }
    if loops.count == 1 {
      let front = loops[0].front
      return loops[0].eventLoop.execute { front.deliver(answers) }
    }
    var shares = [[Answer]](repeating: [], count: loops.count)
    for answer in answers {
      let loop = PendingCalls.loop(of: answer.ticket)
      if loop < shares.count { shares[loop].append(answer) }
    }
    for (share, loop) in zip(shares, loops) where !share.isEmpty {
      loop.eventLoop.execute { loop.front.deliver(share) }
    }
  }

  /// Tells all loops that a compaction's rows are gone. After the gauge says so.
  public func compactionFinished(_ revision: Int64) {
    for loop in loops.withLock({ $0 }) {
      loop.eventLoop.execute { loop.front.compactionFinished(revision) }
    }
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
