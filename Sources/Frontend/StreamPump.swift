import Model
import NIOCore
import Store
import Synchronization
import Wire

/// Sends a stream of messages that are made on the pool, one at a time, and no faster than the client takes them.
///
/// Lives on the event loop of its call; `produce` runs on the pool, never twice at once.
final class StreamPump: CallWork, @unchecked Sendable {
  // Sendable by proof: everything but `cancelled` is touched on the call's event loop, and `produce` only by the one
  // piece of work that is under way.
  enum Step {
    /// One message, with the wire's headroom.
    case message([UInt8])
    /// The last message.
    case last([UInt8])
    case failure(ClientError)
    case end
  }

  private let call: RPCCall
  private let context: FrontendContext
  private let produce: () -> Step
  /// Called once, when nothing will be produced any more; on the pool or the loop.
  private let release: () -> Void
  private let cancelled = Atomic<Bool>(false)
  private var isWorking = false
  private var isDone = false

  init(
    call: RPCCall, context: FrontendContext, produce: @escaping () -> Step, release: @escaping () -> Void = {}
  ) {
    self.call = call
    self.context = context
    self.produce = produce
    self.release = release
  }

  deinit { release() }

  /// Starts producing; the call keeps the pump until it ends.
  func start() {
    call.userObject = self
    resume()
  }

  /// Goes on after the wire had enough.
  func resume() {
    guard !isWorking, !isDone else { return }
    isWorking = true
    let eventLoop = call.connection.eventLoop
    context.runLong { [self] in
      let step = cancelled.load(ordering: .relaxed) ? Step.end : produce()
      eventLoop.execute { self.send(step) }
    }
  }

  /// The call ended from the other side.
  func cancel() {
    cancelled.store(true, ordering: .relaxed)
    isDone = true
  }

  private func send(_ step: Step) {
    isWorking = false
    guard !isDone else { return }
    switch step {
    case .message(let message):
      if call.send(message) { resume() }
    case .last(let message):
      isDone = true
      _ = call.send(message)
      call.finish()
    case .failure(let error):
      isDone = true
      call.fail(error)
    case .end:
      isDone = true
      call.finish()
    }
  }
}
