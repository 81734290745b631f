import EtcdAPI
import Model
import NIOCore
import Node
import Replica
import Store
import SwiftProtobuf
import Synchronization
import Wire

// Changes of the cluster: proposed through the log like a command, once the member's own thread finds that nobody loses
// the quorum by it.

extension LoopFrontend {
  func memberAdd(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberAddRequest.self, call, message) else { return }
    guard PeerURLCheck.isValid(request.peerUrls) else { return call.fail(.badMemberURLs) }
    let urls = request.peerUrls.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    // A member that is added at run time has the time in its id, so that one with the same URLs may come again.
    let id = ClusterIdentity.memberID(peerURLs: urls, clusterToken: "\(context.unixSeconds())")
    let member = Member(id: id, peerURLs: urls, isLearner: request.isLearner)
    let work = PendingWork.afterCommand { [unowned self] call in
      respondWithMembers(call) { header, members in
        var response = Etcdserverpb_MemberAddResponse()
        response.header = header
        response.member = Self.message(MemberRecord(id: id, peerURLs: urls, isLearner: request.isLearner))
        response.members = members
        return response
      }
    }
    change(call, work, .add(member))
  }

  func memberRemove(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberRemoveRequest.self, call, message) else { return }
    let work = PendingWork.afterCommand { [unowned self] call in
      respondWithMembers(call) { header, members in
        var response = Etcdserverpb_MemberRemoveResponse()
        response.header = header
        response.members = members
        return response
      }
    }
    change(call, work, .remove(id: request.id))
  }

  /// As in etcd, the new URLs are not looked at beyond whether another member has them; that is decided when the change
  /// is applied.
  func memberUpdate(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberUpdateRequest.self, call, message) else { return }
    let work = PendingWork.afterCommand { [unowned self] call in serveMemberList(call) }
    change(call, work, .update(id: request.id, peerURLs: request.peerUrls))
  }

  /// Only the leader can tell whether a learner is ready; it is asked if this member is not the one.
  func memberPromote(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberPromoteRequest.self, call, message) else { return }
    change(call, .promotion(id: request.id), .promote(id: request.id))
  }

  func askLeaderToPromote(_ call: RPCCall, _ id: UInt64) {
    context.promoteAtLeader(id) { [eventLoop] error in
      eventLoop.execute {
        if let error { return call.fail(error) }
        // What the leader has applied, this member may not have yet.
        self.confirmRead(call, .memberList)
      }
    }
  }

  func moveLeader(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MoveLeaderRequest.self, call, message) else { return }
    guard context.gauge.leader.load(ordering: .relaxed) == context.memberID else {
      return call.fail(.notLeader)
    }
    guard request.targetID != 0 else { return call.fail(.badLeaderTransferee) }
    let work = PendingWork.afterCommand { [unowned self] call in
      respond(call, Etcdserverpb_MoveLeaderResponse())
    }
    submit(.transferLeadership(pending.add(call, work), to: request.targetID))
  }

  private func change(_ call: RPCCall, _ work: PendingWork, _ request: MembershipRequest) {
    submit(input: .changeMembers(pending.add(call, work), request))
  }

  private func respondWithMembers(
    _ call: RPCCall,
    _ make: (Etcdserverpb_ResponseHeader, [Etcdserverpb_Member]) -> some SwiftProtobuf.Message
  ) {
    do throws(StoreError) {
      respond(call, make(header(revision: 0), try view().members().map(Self.message)))
    } catch {
      fail(call, error)
    }
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
}
