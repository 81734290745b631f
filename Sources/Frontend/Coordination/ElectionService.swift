import Model
import Primitives
import Wire

// v3electionpb.Election, as etcd's server does it: etcd's own client package, run inside the member.

/// v3electionpb.LeaderKey.
struct LeaderKey: Sendable {
  var name: [UInt8] = []
  var key: [UInt8] = []
  /// Create revision of the key.
  var revision: Int64 = 0
  var lease: Int64 = 0

  fileprivate mutating func merge(_ bytes: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = ProtoReader(bytes)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): name = try reader.readBytes()
      case .length(2): key = try reader.readBytes()
      case .varint(3): revision = try reader.readInt64()
      case .varint(4): lease = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  func append(_ field: Int, to writer: inout ProtoWriter) {
    let open = writer.beginMessage(field)
    writer.bytes(1, name)
    writer.bytes(2, key)
    writer.int64(3, revision)
    writer.int64(4, lease)
    writer.endMessage(open)
  }
}

/// The fields of the service's requests together: each number means one thing.
private struct ElectionRequest {
  var name: [UInt8] = []
  var lease: Int64 = 0
  var value: [UInt8] = []

  /// CampaignRequest and LeaderRequest.
  init(_ message: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = ProtoReader(message)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): name = try reader.readBytes()
      case .varint(2): lease = try reader.readInt64()
      case .length(3): value = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }
}

/// ProclaimRequest and ResignRequest.
private struct LeaderRequest {
  var leader: LeaderKey?
  var value: [UInt8] = []

  init(_ message: UnsafeRawBufferPointer) throws(ProtoError) {
    var reader = ProtoReader(message)
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1):
        var key = leader ?? LeaderKey()
        try key.merge(reader.readBuffer())
        leader = key
      case .length(2): value = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }
}

extension ClientError {
  static let missingLeaderKey = ClientError(.unknown, "\"leader\" field must be provided")
  static let electionNotLeader = ClientError(.unknown, "election: not leader")
  static let electionNoLeader = ClientError(.unknown, "election: no leader")
  static let observeClosedEarly = ClientError(.unknown, "election: observe closed early")
}

extension LoopFrontend {
  func campaign(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    do throws(ProtoError) {
      let request = try ElectionRequest(message)
      let attempt = CampaignAttempt(self, call, value: request.value)
      call.userObject = attempt
      attempt.start(name: request.name, lease: request.lease)
    } catch {
      refuseMalformed(call, error)
    }
  }

  func proclaim(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    withLeader(call, message) { [self] leader, lease, value in
      var put = PutRequest(key: leader.key, value: value)
      put.lease = lease
      transact(SessionKey.guarded(leader.key, created: leader.revision, .put(put))) { [self] outcome in
        switch outcome {
        case .failure(let error): failLocally(call, error)
        case .success(let transaction) where !transaction.succeeded: failLocally(call, .electionNotLeader)
        case .success(let transaction): respondWithHeader(call, revision: transaction.revision)
        }
      }
    }
  }

  /// Who is no leader any more resigns with success.
  func resign(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    withLeader(call, message) { [self] leader, _, _ in
      let deletion = RequestOperation.deleteRange(DeleteRangeRequest(key: leader.key))
      transact(SessionKey.guarded(leader.key, created: leader.revision, deletion)) { [self] outcome in
        switch outcome {
        case .failure(let error): failLocally(call, error)
        case .success(let transaction): respondWithHeader(call, revision: transaction.revision)
        }
      }
    }
  }

  private func withLeader(
    _ call: RPCCall, _ message: UnsafeRawBufferPointer,
    _ body: @escaping @Sendable (LeaderKey, _ lease: Int64, _ value: [UInt8]) -> Void
  ) {
    let request: LeaderRequest
    do throws(ProtoError) {
      request = try LeaderRequest(message)
    } catch {
      return refuseMalformed(call, error)
    }
    guard let leader = request.leader else { return call.fail(.missingLeaderKey) }
    let value = request.value
    withSession(leader.lease) { [self] outcome in
      switch outcome {
      case .failure(let error): failLocally(call, error)
      case .success(let lease): body(leader, lease, value)
      }
    }
  }

  func electionLeader(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    do throws(ProtoError) {
      let name = try ElectionRequest(message).name
      read(SessionKey.oldest(name + [UInt8(ascii: "/")]), for: call) { [self] outcome in
        switch outcome {
        case .failure(let error): failLocally(call, error)
        case .success(let range):
          guard let leader = range.keyValues.first else { return call.fail(.electionNoLeader) }
          call.respond(leaderResponse(leader, revision: range.revision))
        }
      }
    } catch {
      refuseMalformed(call, error)
    }
  }

  func observe(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    do throws(ProtoError) {
      let observer = ElectionObserver(self, call, name: try ElectionRequest(message).name)
      call.userObject = observer
      observer.start()
    } catch {
      refuseMalformed(call, error)
    }
  }

  /// A LeaderResponse with the wire's headroom.
  func leaderResponse(_ leader: KeyValue, revision: Int64) -> [UInt8] {
    var writer = builder.begin(revision: revision, term: term, reserving: leader.encodedSize + 8)
    writer.messageField(2, leader)
    return writer.bytes
  }
}
