import EtcdAPI
import Model
import Replica
import Store
import Synchronization
import Wire

// Changes of the cluster, as a member answers them that has no way to other members: its own record can be changed,
// and what concerns others is refused as etcd refuses it. A second member is refused as not built. etcd would add it,
// and a cluster of one would stand still from then on until the second starts; here it could never start.

extension LoopFrontend {
  func memberAdd(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberAddRequest.self, call, message) else { return }
    guard PeerURLCheck.isValid(request.peerUrls) else { return call.fail(.badMemberURLs) }
    withMembers(call) { _, members in
      let known = members.flatMap(\.peerURLs)
      return request.peerUrls.contains(where: known.contains) ? .peerURLExists : .severalMembersNotBuilt
    }
  }

  func memberRemove(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberRemoveRequest.self, call, message) else { return }
    withMembers(call) { _, members in
      members.contains { $0.id == request.id } ? .notEnoughStartedMembers : .memberNotFound
    }
  }

  func memberPromote(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberPromoteRequest.self, call, message) else { return }
    withMembers(call) { _, members in
      guard let member = members.first(where: { $0.id == request.id }) else { return .memberNotFound }
      return member.isLearner ? .learnerNotReady : .memberNotLearner
    }
  }

  /// As in etcd, the new URLs are not looked at beyond whether another member has them; that is decided when the change
  /// is applied.
  func memberUpdate(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberUpdateRequest.self, call, message) else { return }
    let member = Member(id: request.id, peerURLs: request.peerUrls)
    let change = ConfChange(kind: .updateNode, nodeID: request.id, context: member.json)
    proposeChange(call, .afterCommand { [unowned self] call in serveMemberList(call) }, change)
  }

  /// The leader hands over to itself only: it knows no other.
  func moveLeader(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MoveLeaderRequest.self, call, message) else { return }
    guard context.gauge.leader.load(ordering: .relaxed) == context.memberID else {
      return call.fail(.notLeader)
    }
    guard request.targetID == context.memberID else { return call.fail(.badLeaderTransferee) }
    respond(call, Etcdserverpb_MoveLeaderResponse())
  }

  /// Refuses a call for what the members, read linearizably, say.
  private func withMembers(
    _ call: RPCCall, _ decide: @escaping (LoopFrontend, [MemberRecord]) -> ClientError
  ) {
    confirmRead(
      call,
      .afterRead { [unowned self] call in
        do throws(StoreError) {
          call.fail(decide(self, try view().members()))
        } catch {
          fail(call, error)
        }
      })
  }
}

/// etcd's check of peer URLs (types.NewURLs).
enum PeerURLCheck {
  static func isValid(_ urls: [String]) -> Bool { !urls.isEmpty && urls.allSatisfy(isValid) }

  private static func isValid(_ url: String) -> Bool {
    guard let colon = url.firstRange(of: "://") else { return false }
    let rest = url[colon.upperBound...]
    switch url[..<colon.lowerBound] {
    case "unix", "unixs": return true
    case "http", "https": break
    default: return false
    }
    // host:port and nothing after it; an IPv6 address stands in brackets.
    guard let separator = rest.lastIndex(of: ":"), !rest.contains("/"), !rest.contains("?") else {
      return false
    }
    let (host, port) = (rest[..<separator], rest[rest.index(after: separator)...])
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    guard isBracketed || !host.contains(":") else { return false }
    return !port.isEmpty && port.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
  }
}

extension ClientError {
  static let badMemberURLs = ClientError(.invalidArgument, "etcdserver: given member URLs are invalid")
  static let severalMembersNotBuilt = ClientError(
    .unimplemented, "etcdserver: clusters of several members are not in this version")
}
