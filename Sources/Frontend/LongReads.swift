import Model
import NIOCore
import Store
import Wire

/// The reads of one event loop that may take long or answer with much: a few at a time on the pool, and none for a
/// connection that does not take what it has been sent. A client that asks for a thousand large answers and reads none
/// then costs the connection's queue and no more.
///
/// Confined to its event loop.
struct LongReads {
  typealias Evaluation =
    @Sendable (ReadView, ResponseBuilder, UInt64) throws(StoreError) -> Result<[UInt8], ClientError>

  struct Read {
    var call: RPCCall
    var evaluate: Evaluation
    /// Called on the event loop.
    var completion: @Sendable (Result<[UInt8], ClientError>) -> Void
  }

  /// More would let answers pile up between the pool and the loop.
  private static let runningMax = 4

  private var waiting: [Read] = []
  /// Position in `waiting` of the next read.
  private var next = 0
  /// Reads whose connection is backed up.
  private var held: [Read] = []
  private var running = 0

  mutating func add(_ read: Read) { waiting.append(read) }

  /// The next read to be started, if one may be.
  mutating func start() -> Read? {
    while running < Self.runningMax, next < waiting.count {
      let read = waiting[next]
      next += 1
      if next == waiting.count {
        waiting.removeAll(keepingCapacity: true)
        next = 0
      }
      if !read.call.isOpen { continue }
      if read.call.connection.isBackedUp {
        held.append(read)
      } else {
        running += 1
        return read
      }
    }
    return nil
  }

  mutating func finished() { running -= 1 }

  var hasHeld: Bool { !held.isEmpty }

  /// Lets the held reads try again.
  mutating func release() {
    waiting.append(contentsOf: held)
    held.removeAll(keepingCapacity: true)
  }
}

extension LoopFrontend {
  /// How long a read waits before it looks again whether its connection has drained.
  private static let heldPause = TimeAmount.milliseconds(10)

  /// Answers a call from the pool, with a view of its own.
  func serveLong(_ call: RPCCall, _ evaluate: @escaping LongReads.Evaluation) {
    readLong(for: call, evaluate) { [self] outcome in
      noteIfSlow(call, now: .now(), responseBytes: (try? outcome.get().count) ?? -1)
      answer(call, outcome)
    }
  }

  /// Makes a read that is part of answering a call; nothing is called if the call ends first.
  func readLong(
    for call: RPCCall, _ evaluate: @escaping LongReads.Evaluation,
    completion: @escaping @Sendable (Result<[UInt8], ClientError>) -> Void
  ) {
    longReads.add(LongReads.Read(call: call, evaluate: evaluate, completion: completion))
    startLongReads(on: call.connection.eventLoop)
  }

  private func startLongReads(on eventLoop: any EventLoop) {
    while let read = longReads.start() { run(read, on: eventLoop) }
    guard longReads.hasHeld, !isReleaseScheduled else { return }
    isReleaseScheduled = true
    _ = eventLoop.scheduleTask(in: Self.heldPause) {
      self.isReleaseScheduled = false
      self.longReads.release()
      self.startLongReads(on: eventLoop)
    }
  }

  private func run(_ read: LongReads.Read, on eventLoop: any EventLoop) {
    let (context, builder, term) = (self.context, self.builder, self.term)
    let (evaluate, completion) = (read.evaluate, read.completion)
    context.runLong {
      let outcome: Result<[UInt8], ClientError>
      do throws(StoreError) {
        let view = try context.store.view()
        defer { view.end() }
        outcome = try evaluate(view, builder, term)
      } catch {
        context.report(error)
        outcome = .failure(context.clientError(error))
      }
      eventLoop.execute {
        self.longReads.finished()
        completion(outcome)
        self.startLongReads(on: eventLoop)
      }
    }
  }
}
