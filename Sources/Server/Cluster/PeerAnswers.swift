internal import Frontend
internal import Model
internal import NIOCore
internal import Node
internal import PeerTransport
internal import Replica
internal import Store
internal import Synchronization

/// Answers what other members ask beside Raft, in the words of etcd's peer handlers. On the peers' event loop; what takes
/// longer is asked of the member's thread or the pool.
struct PeerAnswers: Sendable {
  let context: FrontendContext
  let inbox: Inbox<NodeInput>
  let requests: MemberRequests

  func answer(_ request: PeerRequest, _ eventLoop: any EventLoop) -> EventLoopFuture<PeerResponse> {
    switch request.path {
    case "/members": return eventLoop.makeSucceededFuture(members())
    case "/version": return eventLoop.makeSucceededFuture(version())
    case "/downgrade/enabled": return eventLoop.makeSucceededFuture(downgrade())
    case "/cairn/digest": return eventLoop.makeSucceededFuture(digest(request))
    case SnapshotTransfers.questionPath:
      return eventLoop.makeSucceededFuture(
        PeerResponse(headers: [clusterHeader], body: Array(SnapshotTransfers.form.utf8)))
    case "/members/hashkv": return hash(request, eventLoop)
    case "/leases", "/leases/internal": return lease(request, eventLoop)
    case let path where path.hasPrefix(Self.promotePrefix):
      return promote(String(path.dropFirst(Self.promotePrefix.count)), eventLoop)
    default: return eventLoop.makeSucceededFuture(PeerResponse(status: 404, error: "404 page not found"))
    }
  }

  private static let promotePrefix = "/members/promote/"

  private var clusterHeader: (name: String, value: String) {
    ("X-Etcd-Cluster-ID", ClusterIdentity.hexadecimal(context.clusterID))
  }

  // MARK: From this member's state

  private func members() -> PeerResponse { read { view throws(StoreError) in try list(view) } }

  private func list(_ view: ReadView) throws(StoreError) -> PeerResponse {
    let list = try view.members().map { record in
      Member(
        id: record.id, peerURLs: record.peerURLs, isLearner: record.isLearner, name: record.name,
        clientURLs: record.clientURLs)
    }
    return PeerResponse(
      headers: [clusterHeader, ("Content-Type", "application/json")],
      body: Member.listJSON(list) + [UInt8(ascii: "\n")])
  }

  private func version() -> PeerResponse {
    read { view throws(StoreError) in
      PeerResponse(
        headers: [("Content-Type", "application/json")],
        body: Array(FrontendContext.versionJSON(cluster: try view.clusterVersion()).utf8))
    }
  }

  private func downgrade() -> PeerResponse {
    read { view throws(StoreError) in
      PeerResponse(
        headers: [clusterHeader, ("Content-Type", "text/plain")],
        body: Array("\(try view.downgradeInfo().enabled)".utf8))
    }
  }

  private func read(_ body: (ReadView) throws(StoreError) -> PeerResponse) -> PeerResponse {
    do throws(StoreError) {
      let view = try context.store.view()
      defer { view.end() }
      return try body(view)
    } catch {
      context.report(error)
      return PeerResponse(status: 500, error: "Internal Server Error")
    }
  }

  private func hash(_ request: PeerRequest, _ eventLoop: any EventLoop) -> EventLoopFuture<PeerResponse> {
    if let cluster = request.header("X-Etcd-Cluster-ID"), !cluster.isEmpty, cluster != clusterHeader.value {
      return eventLoop.makeSucceededFuture(
        PeerResponse(status: 412, error: "cluster ID mismatch", headers: [clusterHeader]))
    }
    guard let revision = HashRequest.revision(json: request.body) else {
      return eventLoop.makeSucceededFuture(
        PeerResponse(status: 400, error: "error unmarshalling request", headers: [clusterHeader]))
    }
    let promise = eventLoop.makePromise(of: PeerResponse.self)
    context.runLong {
      promise.succeed(read { view throws(StoreError) in try Self.hash(revision, view, self) })
    }
    return promise.futureResult
  }

  private static func hash(
    _ revision: Int64, _ view: ReadView, _ answers: PeerAnswers
  ) throws(StoreError) -> PeerResponse {
    switch try KeyValueHash.start(revision, in: view) {
    case .failure(let error):
      return PeerResponse(status: 400, error: error.message, headers: [answers.clusterHeader])
    case .success(var cursor):
      while true {
        guard case .done(let hash) = try cursor.advance(rows: 100_000) else { continue }
        let context = answers.context
        let text =
          #"{"header":{"cluster_id":\#(context.clusterID),"member_id":\#(context.memberID),"#
          + #""revision":\#(cursor.headerRevision),"raft_term":\#(context.gauge.raftTerm.load(ordering: .relaxed))},"#
          + #""hash":\#(hash),"compact_revision":\#(cursor.compactRevision),"hash_revision":\#(cursor.hashRevision)}"#
        return PeerResponse(
          headers: [answers.clusterHeader, ("Content-Type", "application/json")], body: Array(text.utf8))
      }
    }
  }

  /// Of a member only: what is said is remembered for each.
  private func digest(_ request: PeerRequest) -> PeerResponse {
    guard request.header("X-Etcd-Cluster-ID") == clusterHeader.value else {
      return PeerResponse(status: 412, error: "cluster ID mismatch", headers: [clusterHeader])
    }
    guard let sender = request.header("X-Server-From").flatMap({ UInt64($0, radix: 16) }),
      let digest = try? StateDigest(decoding: request.body)
    else { return PeerResponse(status: 400, error: "no digest of a member", headers: [clusterHeader]) }
    return read { view throws(StoreError) in
      guard sender != context.memberID, try view.members().contains(where: { $0.id == sender }) else {
        return PeerResponse(status: 403, error: "not a member", headers: [clusterHeader])
      }
      inbox.push(.peerDigest(from: sender, digest))
      return PeerResponse(status: 204, headers: [clusterHeader])
    }
  }

  // MARK: From the member's thread

  private func lease(_ request: PeerRequest, _ eventLoop: any EventLoop) -> EventLoopFuture<PeerResponse> {
    guard let question = LeaseMessages.question(path: request.path, body: request.body) else {
      return eventLoop.makeSucceededFuture(PeerResponse(status: 400, error: "error unmarshalling request"))
    }
    let promise = eventLoop.makePromise(of: PeerResponse.self)
    requests.ask({ .replica(.leaseAsked($0, question)) }) { answer in
      switch answer {
      case .lease(_, let outcome):
        guard let body = LeaseMessages.response(question, outcome) else {
          return promise.succeed(PeerResponse(status: 404, error: "lease not found"))
        }
        promise.succeed(PeerResponse(headers: [("Content-Type", "application/protobuf")], body: body))
      case .failed(_, let error): promise.succeed(PeerResponse(status: 400, error: error.message))
      case .applied, .readReady: promise.succeed(PeerResponse(status: 500, error: "Internal Server Error"))
      }
    }
    return promise.futureResult
  }

  private func promote(_ text: String, _ eventLoop: any EventLoop) -> EventLoopFuture<PeerResponse> {
    guard let id = UInt64(text), !text.hasPrefix("+") else {
      return eventLoop.makeSucceededFuture(
        PeerResponse(status: 404, error: "member \(text) not found in cluster", headers: [clusterHeader]))
    }
    let promise = eventLoop.makePromise(of: PeerResponse.self)
    requests.ask({ .changeMembers($0, .promote(id: id)) }) { answer in
      switch answer {
      case .applied: promise.succeed(members())
      case .failed(_, let error): promise.succeed(refusal(error))
      case .lease, .readReady: promise.succeed(PeerResponse(status: 500, error: "Internal Server Error"))
      }
    }
    return promise.futureResult
  }

  private func refusal(_ error: ClientError) -> PeerResponse {
    switch error {
    case .memberNotFound:
      PeerResponse(status: 404, error: "membership: ID not found", headers: [clusterHeader])
    case .memberNotLearner:
      PeerResponse(
        status: 412, error: "membership: can only promote a learner member", headers: [clusterHeader])
    case .learnerNotReady: PeerResponse(status: 412, error: error.message, headers: [clusterHeader])
    default:
      PeerResponse(
        status: 500, headers: [clusterHeader, ("Content-Type", "application/json")],
        body: Array(#"{"message":"Internal Server Error"}"#.utf8))
    }
  }
}
