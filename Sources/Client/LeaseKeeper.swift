internal import EtcdAPI
public import Model
internal import NIOCore
internal import Primitives
internal import Wire

/// Keeps leases alive over one stream, each three times in its time to live, also across lost connections.
///
/// Methods may be called from any thread; updates are heard on the client's event loop, to which all state is confined
/// (`@unchecked Sendable` for that reason alone).
public final class LeaseKeeper: @unchecked Sendable {
  public enum Update: Hashable, Sendable {
    /// The server counts anew, from this many seconds.
    case renewed(timeToLiveSeconds: Int64)
    /// The last word: the server knows the lease no more, nobody answered in its time to live, or the stream was
    /// refused. Whatever it protected is to be taken for lost.
    case lost(ClientError)
  }

  public typealias Listener = @Sendable (Update) -> Void

  private struct Lease {
    var listener: Listener
    var nextRenewal: NIODeadline
    /// When the lease is given up if nothing is heard.
    var deadline: NIODeadline
  }

  /// How often leases are looked at, as in etcd's client: time to live is at least two seconds.
  private static let interval = TimeAmount.milliseconds(500)
  /// Until the first answer, before the time to live is known.
  private static let firstAnswerTimeout = TimeAmount.seconds(10)

  private let client: EtcdClient
  private var stream: ReconnectingCall?
  private var leases: [Int64: Lease] = [:]
  private var timer: Scheduled<Void>?
  private var isClosed = false

  public init(_ client: EtcdClient) {
    self.client = client
  }

  /// Renews a lease at once and from then on, until it is lost, or `stop` or `close` is called.
  public func keep(_ id: Int64, listener: @escaping Listener) {
    client.eventLoop.execute { [self] in
      guard !isClosed else { return listener(.lost(ClientError(.cancelled, "lease keeper is closed"))) }
      let now = NIODeadline.now()
      leases[id] = Lease(listener: listener, nextRenewal: now, deadline: now + Self.firstAnswerTimeout)
      let stream = stream ?? ReconnectingCall(client, .leaseKeepAlive, owner: self)
      self.stream = stream
      stream.open()
      tick()
    }
  }

  /// Stops to renew a lease, which ends by itself then; its listener hears nothing more.
  public func stop(_ id: Int64) {
    client.eventLoop.execute { [self] in leases[id] = nil }
  }

  public func close() {
    client.eventLoop.execute { [self] in
      isClosed = true
      leases = [:]
      stream?.close()
      stream = nil
    }
  }

  private func tick() {
    timer?.cancel()
    timer = nil
    let now = NIODeadline.now()
    for id in leases.keys.sorted() {
      guard let lease = leases[id] else { continue }
      if lease.deadline <= now {
        leases[id] = nil
        lease.listener(.lost(.leaseNotFound))
      } else if lease.nextRenewal <= now, let stream, stream.isOpen {
        // Asked again at the next look unless an answer moves this.
        leases[id]?.nextRenewal = now + Self.interval
        stream.send(Self.request(id))
      }
    }
    guard !leases.isEmpty else { return }
    timer = client.eventLoop.assumeIsolated().scheduleTask(in: Self.interval) { [self] in tick() }
  }

  private static func request(_ id: Int64) -> [UInt8] {
    var writer = ProtoWriter(appendingTo: [UInt8](repeating: 0, count: RPCCall.messageHeadroom))
    writer.int64(1, id)
    return writer.bytes
  }

  private func answered(_ id: Int64, seconds: Int64) {
    guard var lease = leases[id] else { return }
    guard seconds > 0 else {
      leases[id] = nil
      return lease.listener(.lost(.leaseNotFound))
    }
    let now = NIODeadline.now()
    // No lease lives longer, as etcd has it; more would overflow.
    let milliseconds = min(seconds, 9_000_000_000) * 1000
    lease.nextRenewal = now + .milliseconds(milliseconds / 3)
    lease.deadline = now + .milliseconds(milliseconds)
    leases[id] = lease
    lease.listener(.renewed(timeToLiveSeconds: seconds))
  }
}

extension LeaseKeeper: ReconnectingCallOwner {
  func opened(_ call: ReconnectingCall) {
    let now = NIODeadline.now()
    for id in leases.keys { leases[id]?.nextRenewal = now }
    tick()
  }

  func received(_ message: UnsafeRawBufferPointer) {
    var (id, seconds): (Int64, Int64) = (0, 0)
    var reader = ProtoReader(message)
    do throws(ProtoError) {
      while let tag = try reader.nextTag() {
        switch tag {
        case .varint(2): id = try reader.readInt64()
        case .varint(3): seconds = try reader.readInt64()
        default: try reader.skip(tag)
        }
      }
    } catch {
      return refused(ClientError(.internal, "grpc: failed to unmarshal the received message: \(error)"))
    }
    answered(id, seconds: seconds)
  }

  func refused(_ error: ClientError) {
    stream?.close()
    stream = nil
    let lost = leases
    leases = [:]
    for id in lost.keys.sorted() { lost[id]?.listener(.lost(error)) }
  }
}
