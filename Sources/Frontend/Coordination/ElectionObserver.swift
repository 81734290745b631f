import Model
import Wire

/// One Observe call: tells of the leader, of each of its proclamations, and of its successors. Confined to its event loop.
///
/// A client that does not read costs its call's queue and no more: the watch is given up and begun again where it was.
final class ElectionObserver: CallWork, @unchecked Sendable {
  private enum State {
    case reading
    /// Nobody leads: waits for the first put under the prefix.
    case waiting(LocalWatch)
    case following(key: [UInt8], LocalWatch)
    /// The client has enough for now.
    case paused(key: [UInt8], next: Int64)
    case over
  }

  private let front: LoopFrontend
  private let call: RPCCall
  private let prefix: [UInt8]
  private var state = State.reading

  init(_ front: LoopFrontend, _ call: RPCCall, name: [UInt8]) {
    self.front = front
    self.call = call
    prefix = name + [UInt8(ascii: "/")]
  }

  func start() { look() }

  func cancel() { stop(.over) }

  func resume() {
    guard case .paused(let key, let next) = state else { return }
    follow(key, from: next)
  }

  /// Ends the watch, if there is one.
  private func stop(_ next: State) {
    switch state {
    case .waiting(let watch), .following(_, let watch): watch.cancel()
    case .reading, .paused, .over: break
    }
    state = next
  }

  private func fail() {
    guard call.isOpen else { return stop(.over) }
    stop(.over)
    call.fail(.observeClosedEarly)
  }

  private func look() {
    stop(.reading)
    front.read(SessionKey.oldest(prefix), for: call) { [self] outcome in
      guard case .reading = state else { return }
      switch outcome {
      case .failure: fail()
      case .success(let range):
        guard let leader = range.keyValues.first else { return waitForLeader(from: range.revision) }
        if tell(leader, revision: range.revision) { follow(leader.key, from: range.revision + 1) }
      }
    }
  }

  private func waitForLeader(from revision: Int64) {
    let watch = front.watch(key: prefix, rangeEnd: SessionKey.end(of: prefix), from: revision) {
      [self] notice in
      guard case .waiting = state else { return }
      switch notice {
      case .created: break
      case .events(let events, _):
        guard let first = events.first(where: { $0.kind == .put })?.keyValue else { return }
        if tell(first, revision: first.modRevision) { follow(first.key, from: first.modRevision + 1) }
      case .compacted, .failed: fail()
      }
    }
    guard let watch else { return fail() }
    stop(.waiting(watch))
  }

  private func follow(_ key: [UInt8], from revision: Int64) {
    let watch = front.watch(key: key, from: revision) { [self] notice in
      switch notice {
      case .created: break
      case .events(let events, _):
        for event in events {
          guard wants(event) else { return }
          if event.kind == .delete { return look() }
          _ = tell(event.keyValue, revision: event.keyValue.modRevision)
        }
      case .compacted, .failed: fail()
      }
    }
    guard let watch else { return fail() }
    stop(.following(key: key, watch))
  }

  /// Once the client has enough, the rest of the revision is told all the same: it is not read again.
  private func wants(_ event: Event) -> Bool {
    switch state {
    case .following: true
    case .paused(_, let next): event.keyValue.modRevision < next
    case .reading, .waiting, .over: false
    }
  }

  /// Sends; false when the client wants no more, and the observer waits until it does.
  private func tell(_ leader: KeyValue, revision: Int64) -> Bool {
    if call.send(front.leaderResponse(leader, revision: revision)) { return true }
    stop(.paused(key: leader.key, next: revision + 1))
    return false
  }
}
