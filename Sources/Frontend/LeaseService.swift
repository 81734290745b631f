import Model
import Node
import Primitives
import Replica
import Store
import Synchronization
import Wire

// The Lease service. Grants and revocations go through the log; what depends on the clock is answered by the member's
// thread, which keeps it.

extension LoopFrontend {
  func leaseGrant(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: LeaseGrant
    do throws(ProtoError) {
      request = try LeaseGrant(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if exceedsQuota(call, LeaseGrant.quotaCost) { return }
    submit(.leaseGrant(pending.add(call, .command), request))
  }

  func leaseRevoke(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    do throws(ProtoError) {
      _ = try Self.leaseID(message)
    } catch {
      return refuseMalformed(call, error)
    }
    propose(call, .command, operation: Self.operation(9, message))
  }

  func leaseTimeToLive(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    var id: Int64 = 0
    var wantsKeys = false
    do throws(ProtoError) {
      var reader = ProtoReader(message)
      while let tag = try reader.nextTag() {
        switch tag {
        case .varint(1): id = try reader.readInt64()
        case .varint(2): wantsKeys = try reader.readBool()
        default: try reader.skip(tag)
        }
      }
    } catch {
      return refuseMalformed(call, error)
    }
    submit(.leaseTimeToLive(pending.add(call, .leaseTimeToLive(id: id, wantsKeys: wantsKeys)), id: id))
  }

  func leaseLeases(_ call: RPCCall) {
    submit(.leaseList(pending.add(call, .leaseList)))
  }

  /// The member's answer to one of these questions.
  func complete(_ waiting: PendingCalls.Pending, _ answer: LeaseAnswer) {
    guard let call = waiting.call, call.isOpen else { return }
    switch (waiting.work, answer) {
    case (.leaseRenewal(let number), .renewed(let ttlSeconds)):
      (call.userObject as? KeepAliveStream)?.renewed(number, ttlSeconds: ttlSeconds)
    case (.leaseTimeToLive(let id, let wantsKeys), .timeToLive(let times)):
      if times == nil || context.gauge.leads.load(ordering: .relaxed) {
        return serveTimeToLive(call, id, times, wantsKeys: wantsKeys)
      }
      // The leader's answer: this member may not have applied yet what it is about.
      confirmRead(
        call,
        .afterRead { [unowned self] call in serveTimeToLive(call, id, times, wantsKeys: wantsKeys) })
    case (.leaseList, .list(let leases)): serveList(call, leases)
    default: preconditionFailure("an answer to another question")
    }
  }

  private func serveTimeToLive(_ call: RPCCall, _ id: Int64, _ times: LeaseTimes?, wantsKeys: Bool) {
    serve(call, inline: !wantsKeys) { (view, builder, term) throws(StoreError) in
      var writer = builder.begin(revision: view.revision, term: term, reserving: 32)
      writer.int64(2, id)
      // It may have been revoked since: no answer may tell of a lease whose keys are gone.
      if let times, try view.hasLease(id) {
        writer.int64(3, times.remainingSeconds)
        writer.int64(4, times.grantedSeconds)
        if wantsKeys {
          for key in try view.keys(ofLease: id) { writer.bytesField(5, key) }
        }
      } else {
        writer.int64(3, -1)
      }
      return .success(writer.bytes)
    }
  }

  private func serveList(_ call: RPCCall, _ leases: [LeaseExpiry]) {
    // Sorting a hundred thousand takes longer than a turn of the loop may.
    serve(call, inline: leases.count <= 256) { (view, builder, term) throws(StoreError) in
      var writer = builder.begin(revision: view.revision, term: term, reserving: 12 * leases.count)
      for lease in leases.sorted() {
        writer.message(2, size: ProtoSize.int64(1, lease.id))
        writer.int64(1, lease.id)
      }
      return .success(writer.bytes)
    }
  }

  // MARK: Keeping alive

  func beginKeepAlive(_ call: RPCCall) {
    let stream = KeepAliveStream(call: call, builder: builder)
    call.userObject = stream
    keepAlives.add(stream)
  }

  /// One renewal. Its header is made before it is asked for, so that its revision is not above what the client may see
  /// when the lease is gone.
  func keepAlive(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let stream = call.userObject as? KeepAliveStream else { return }
    do throws(ProtoError) {
      let id = try Self.leaseID(message)
      let revision: Int64
      do throws(StoreError) { revision = try view().revision } catch { return fail(call, error) }
      guard let number = stream.add(id, revision: revision, term: term) else {
        return call.fail(.tooManyRequests)
      }
      submit(.leaseRenew(pending.add(call, .leaseRenewal(number: number)), id: id))
    } catch {
      refuseMalformed(call, error)
    }
  }

  /// The messages LeaseRevokeRequest and LeaseKeepAliveRequest.
  private static func leaseID(_ message: UnsafeRawBufferPointer) throws(ProtoError) -> Int64 {
    var id: Int64 = 0
    var reader = ProtoReader(message)
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
    return id
  }
}

/// The renewals of one LeaseKeepAlive call, answered in the order in which they were asked for, one response each.
/// Confined to the event loop of its call.
final class KeepAliveStream {
  /// Renewals of one stream under way. Go's client sends those of all its leases in one go; an answer takes one turn of
  /// the member's thread, but for leases that wait for their revocation.
  private static let waitingMax = 65_536

  private struct Renewal {
    var id: Int64
    var revision: Int64
    var term: UInt64
    var ttlSeconds: Int64?
  }

  /// Owns this stream until it ends.
  fileprivate unowned let call: RPCCall
  private let builder: ResponseBuilder
  /// Asked for and not answered to the client, oldest first from `front` on.
  private var renewals: [Renewal] = []
  private var front = 0
  /// The number of `renewals[0]`.
  private var base = 0
  private var requestsEnded = false

  init(call: RPCCall, builder: ResponseBuilder) {
    self.call = call
    self.builder = builder
  }

  /// Notes one more renewal and returns its number; nil when there are too many.
  func add(_ id: Int64, revision: Int64, term: UInt64) -> Int? {
    guard renewals.count - front < Self.waitingMax else { return nil }
    renewals.append(Renewal(id: id, revision: revision, term: term))
    return base + renewals.count - 1
  }

  func renewed(_ number: Int, ttlSeconds: Int64) {
    renewals[number - base].ttlSeconds = ttlSeconds
    while front < renewals.count, let ttlSeconds = renewals[front].ttlSeconds {
      let renewal = renewals[front]
      front += 1
      var writer = builder.begin(revision: renewal.revision, term: renewal.term, reserving: 24)
      writer.int64(2, renewal.id)
      writer.int64(3, ttlSeconds)
      // What a client does not read makes its connection congested, and that stops its requests.
      _ = call.send(writer.bytes)
    }
    if front == renewals.count || front > 1_024 {
      renewals.removeFirst(front)
      base += front
      front = 0
    }
    finishIfDone()
  }

  /// The client asks for no more.
  func end() {
    requestsEnded = true
    finishIfDone()
  }

  private func finishIfDone() {
    if requestsEnded, front == renewals.count { call.finish() }
  }
}

/// The LeaseKeepAlive calls of one event loop, which have to be ended when the server stops: they would go on for ever.
struct KeepAliveStreams {
  private struct Reference {
    weak var stream: KeepAliveStream?
  }

  private var references: [Reference] = []
  private var sweepAt = 64

  mutating func add(_ stream: KeepAliveStream) {
    references.append(Reference(stream: stream))
    guard references.count >= sweepAt else { return }
    references.removeAll { $0.stream == nil }
    sweepAt = max(64, 2 * references.count)
  }

  mutating func end(on connection: ServerConnection) {
    for reference in references {
      guard let stream = reference.stream, stream.call.connection === connection else { continue }
      stream.call.fail(.serverStopped)
    }
    references.removeAll { $0.stream == nil }
  }
}
