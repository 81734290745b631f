import Client
import EtcdAPI
import Model
import NIOCore
import Primitives
import Wire

/// One stream of watchers: creates them one after the other, as etcd's clients do, and takes their events. Confined to
/// its connection's event loop.
///
/// Every event is checked: each watcher's revisions only grow. A value that begins with a time, as
/// `Workload.watchedPut` makes them, gives the latency.
final class WatchReceiver: ClientCallObserver, @unchecked Sendable {
  private let watches: [WatchOptions]
  private let counter: LoadCounter
  private let recorder: Recorder
  private let valuesHoldTimes: Bool
  private let created: EventLoopPromise<Void>
  private var call: ClientCall?
  private var createdCount = 0
  private var requestTime = NIODeadline.now()
  private var lastRevisions: [Int64]

  init(
    watches: [WatchOptions], counter: LoadCounter, recorder: Recorder, eventLoop: any EventLoop,
    valuesHoldTimes: Bool
  ) {
    self.watches = watches
    self.counter = counter
    self.recorder = recorder
    self.valuesHoldTimes = valuesHoldTimes
    created = eventLoop.makePromise()
    lastRevisions = [Int64](repeating: 0, count: watches.count)
  }

  /// Opens the stream; the future succeeds when all watchers are there.
  func start(on connection: ClientConnection, _ method: ClientMethod) -> EventLoopFuture<Void> {
    connection.eventLoop.execute { [self] in
      call = connection.startStream(method, observer: self)
      guard call != nil else { return created.fail(ClientError(.unavailable, "connection closed")) }
      createNext()
    }
    return created.futureResult
  }

  private func createNext() {
    guard createdCount < watches.count else { return created.succeed(()) }
    requestTime = .now()
    call?.send(watches[createdCount].createMessage(id: 0))
  }

  // MARK: ClientCallObserver

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    do throws(ProtoError) {
      try take(message)
    } catch {
      recorder.events.errors["malformed response: \(error)", default: 0] += 1
    }
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    let text = "watch stream ended: code = \(status.code) desc = \(status.message)"
    recorder.events.errors[text, default: 0] += 1
    created.fail(status)
    // Waiting for more would be in vain.
    counter.stop()
  }

  /// Reads in place what is needed: the load generator shares the machine with the server.
  private func take(_ message: UnsafeRawBufferPointer) throws(ProtoError) {
    let now = NIODeadline.now()
    var reader = ProtoReader(message)
    var (watcher, isCreated, isCanceled, count) = (0, false, false, 0)
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(2): watcher = Int(clamping: try reader.readInt64())
      case .varint(3): isCreated = try reader.readBool()
      case .varint(4): isCanceled = try reader.readBool()
      case .length(11):
        // Fields come in the order of their numbers: the watcher is known by now.
        var event = ProtoReader(try reader.readBuffer())
        try takeEvent(&event, of: watcher, at: now)
        count += 1
      default: try reader.skip(tag)
      }
    }
    if isCanceled { recorder.events.errors["a watcher was cancelled", default: 0] += 1 }
    if isCreated, !isCanceled {
      recorder.creations.all.record((now - requestTime).nanoseconds)
      createdCount += 1
      createNext()
    }
    for _ in 0..<count { counter.complete() }
  }

  private func takeEvent(
    _ event: inout ProtoReader, of watcher: Int, at now: NIODeadline
  ) throws(ProtoError) {
    var (revision, time): (Int64, UInt64?) = (0, nil)
    while let tag = try event.nextTag() {
      guard case .length(2) = tag else {
        try event.skip(tag)
        continue
      }
      var keyValue = ProtoReader(try event.readBuffer())
      while let tag = try keyValue.nextTag() {
        switch tag {
        case .varint(3): revision = try keyValue.readInt64()
        case .length(5):
          let value = try keyValue.readBuffer()
          if valuesHoldTimes, value.count >= 8 {
            time = UInt64(littleEndian: value.loadUnaligned(as: UInt64.self))
          }
        default: try keyValue.skip(tag)
        }
      }
    }
    guard watcher >= 0, watcher < lastRevisions.count, revision > lastRevisions[watcher] else {
      recorder.events.errors["an event out of order", default: 0] += 1
      return
    }
    lastRevisions[watcher] = revision
    let latency = time.map { Int64(bitPattern: now.uptimeNanoseconds &- $0) }
    recorder.events.all.record(latency ?? 0)
  }
}
