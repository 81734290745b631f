import Client
import EtcdAPI
import Model
import NIOCore
import NIOPosix
import Primitives
import Wire

/// A connection could not be made.
struct CannotConnect: Error, CustomStringConvertible {
  var description: String
}

/// Keeps one connection's share of requests in flight. Confined to its event loop.
///
/// Without a rate each answer starts the next request. With one, requests are due at fixed times, and latency
/// counts from then: a server that stalls is charged for the requests that had to wait (no coordinated omission).
final class LoadDriver: ClientCallObserver, @unchecked Sendable {
  private let index: Int
  private let driverCount: Int
  private let window: Int
  private let shape: LoadShape
  private let workload: Workload
  private let counter: LoadCounter
  private let recorder: Recorder
  private let eventLoop: any EventLoop
  private let endpoint: Endpoint
  private let methods: [ClientMethod]
  private let isMixed: Bool
  private let finished: EventLoopPromise<Void>
  private var random: SeededRandom
  private var connection: ClientConnection?
  private var inFlight = 0
  private var startTime = NIODeadline.now()
  /// Requests of this driver so far: they are due at the rate's interval.
  private var started = 0
  /// Claimed, and not yet due or not yet sent for lack of a connection.
  private var pending: Int?
  private var exhausted = false
  private var reconnectUntil: NIODeadline?
  private var timerArmed = false
  private var idleRenewers: [LeaseRenewer] = []

  init(
    index: Int, of driverCount: Int, window: Int, shape: LoadShape, workload: Workload, counter: LoadCounter,
    recorder: Recorder, eventLoop: any EventLoop
  ) {
    self.index = index
    self.driverCount = driverCount
    self.window = window
    self.shape = shape
    self.workload = workload
    self.counter = counter
    self.recorder = recorder
    self.eventLoop = eventLoop
    endpoint = shape.endpoints[index % shape.endpoints.count]
    let authority = endpoint.description
    methods = EtcdMethod.allCases.map { ClientMethod("\($0.path)", authority: authority) }
    random = SeededRandom(seed: workload.seed &+ UInt64(index) &* 0x9e37)
    if case .transactionMixed = workload.operation { isMixed = true } else { isMixed = false }
    finished = eventLoop.makePromise()
  }

  func connect() -> EventLoopFuture<Void> {
    Self.connect(to: endpoint, on: eventLoop).map { connection in self.connection = connection }
  }

  /// A connection, or a failure that says to where.
  static func connect(to endpoint: Endpoint, on eventLoop: any EventLoop) -> EventLoopFuture<ClientConnection>
  {
    ClientConnection.connect(host: endpoint.host, port: endpoint.port, on: eventLoop).flatMapErrorThrowing {
      error in
      // Of all addresses of the host, the first says enough.
      let reason = (error as? NIOConnectionError)?.connectionErrors.first?.error ?? error
      throw CannotConnect(description: "cannot connect to \(endpoint): \(reason)")
    }
  }

  /// What requests need that is not part of them: leases.
  func prepare() -> EventLoopFuture<Void> {
    let count: Int
    switch workload.operation {
    case .leaseKeepAlive: count = window
    case .softwareTransaction(let options) where options.locksByService: count = window
    case .put, .range, .transactionPut, .transactionMixed, .watchedPut, .softwareTransaction: count = 0
    }
    guard count > 0 else { return eventLoop.makeSucceededVoidFuture() }
    return eventLoop.flatSubmit { [self] in
      guard let connection else { return eventLoop.makeSucceededVoidFuture() }
      let granted = (0..<count).map { _ in
        LeaseRenewer.granted(on: connection, methods: methods).map { [self] renewer in
          idleRenewers.append(renewer)
        }
      }
      return EventLoopFuture.andAllSucceed(granted, on: eventLoop)
    }
  }

  /// Starts to send; the future succeeds when no request is left.
  func start(at time: NIODeadline) -> EventLoopFuture<Void> {
    eventLoop.execute { [self] in
      startTime = time
      fill()
    }
    return finished.futureResult
  }

  // MARK: ClientCallObserver

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {}

  func ended(_ call: ClientCall, with status: ClientError) {
    completed(call.tag, status)
  }

  /// - Parameter tag: when it was due. The lowest bit tells writes from reads; a nanosecond more or less does not matter.
  private func completed(_ tag: UInt64, _ status: ClientError) {
    inFlight -= 1
    if status.code == .ok {
      let latency = Int64(bitPattern: NIODeadline.now().uptimeNanoseconds &- tag)
      recorder.record(latency, isWrite: tag & 1 == 1, mixed: isMixed)
    } else {
      recorder.recordError("rpc error: code = \(status.code) desc = \(status.message)")
    }
    counter.complete()
    fill()
  }

  // MARK: Sending

  private func fill() {
    while inFlight < window {
      if pending == nil, !exhausted {
        pending = counter.claim()
        exhausted = pending == nil
      }
      guard let request = pending else { break }
      var due = NIODeadline.now()
      if shape.rate > 0 {
        let now = due
        due = dueTime()
        if due > now { return armTimer(due) }
      }
      guard send(request, due: due) else { return reconnect() }
      pending = nil
      started += 1
    }
    if exhausted, inFlight == 0 { finish() }
  }

  private func send(_ request: Int, due: NIODeadline) -> Bool {
    guard let connection, connection.isUsable else { return false }
    let due = due.uptimeNanoseconds
    switch workload.operation {
    case .softwareTransaction(let options):
      inFlight += 1
      // A lease of its own for each that runs: one lease would hold the lock for all.
      let renewer = options.locksByService ? idleRenewers.popLast() : nil
      let transaction = SoftwareTransaction(
        options, value: workload.value(&random), methods: methods, lease: renewer?.lease ?? 0, random: &random
      )
      transaction.start(on: connection) { [self] status in
        if let renewer { idleRenewers.append(renewer) }
        completed(due, status)
      }
      return true
    case .leaseKeepAlive(let isStreamPerRequest):
      guard let renewer = idleRenewers.popLast() else { preconditionFailure("one for each in flight") }
      inFlight += 1
      renewer.renew(on: connection, keepsStream: !isStreamPerRequest) { [self] status in
        idleRenewers.append(renewer)
        completed(due, status)
      }
      return true
    case .put, .range, .transactionPut, .transactionMixed, .watchedPut: break
    }
    let content = workload.request(request, due: due, &random)
    let tag = due & ~1 | (content.isWrite ? 1 : 0)
    inFlight += 1
    let call = connection.start(
      methods[content.method.rawValue], message: content.message, observer: self, tag: tag)
    if call == nil { inFlight -= 1 }
    return call != nil
  }

  private func dueTime() -> NIODeadline {
    let position = Double(started * driverCount + index)
    return startTime + .nanoseconds(Int64(position * 1e9 / Double(shape.rate)))
  }

  private func armTimer(_ time: NIODeadline) {
    guard !timerArmed else { return }
    timerArmed = true
    eventLoop.assumeIsolated().scheduleTask(deadline: time) { [self] in
      timerArmed = false
      fill()
    }
  }

  private func reconnect() {
    // Calls in flight end first, each by itself, and the last of them comes here again.
    guard inFlight == 0 else { return }
    let now = NIODeadline.now()
    let until = reconnectUntil ?? now + .seconds(shape.reconnectSeconds)
    reconnectUntil = until
    connect().assumeIsolated().whenComplete { [self] result in
      switch result {
      case .success:
        reconnectUntil = nil
        fill()
      case .failure(let error) where NIODeadline.now() >= until:
        recorder.recordError("\(error)")
        finish()
      case .failure:
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(100)) { [self] in reconnect() }
      }
    }
  }

  private func finish() {
    connection?.close()
    connection = nil
    finished.succeed(())
  }
}
