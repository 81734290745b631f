import EtcdAPI
import Model
import Primitives
import Store
import SwiftProtobuf
import Wire

extension LoopFrontend {
  func memberList(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_MemberListRequest.self, call, message) else { return }
    if request.linearizable {
      confirmRead(call, .memberList)
    } else {
      serveMemberList(call)
    }
  }

  func serveMemberList(_ call: RPCCall) {
    do throws(StoreError) {
      var response = Etcdserverpb_MemberListResponse()
      // Headers of the Cluster service carry no revision.
      response.header = header(revision: 0)
      response.members = try view().members().map(Self.message)
      respond(call, response)
    } catch {
      fail(call, error)
    }
  }

  static func message(_ member: MemberRecord) -> Etcdserverpb_Member {
    var entry = Etcdserverpb_Member()
    entry.id = member.id
    entry.name = member.name
    entry.peerUrls = member.peerURLs
    entry.clientUrls = member.clientURLs
    entry.isLearner = member.isLearner
    return entry
  }

  // MARK: Cold messages go through the generated code

  func decode<Request: SwiftProtobuf.Message>(
    _ type: Request.Type, _ call: RPCCall, _ message: UnsafeRawBufferPointer
  ) -> Request? {
    do {
      return try Request(serializedBytes: Array(message))
    } catch {
      call.fail(ClientError(.internal, "grpc: error unmarshalling request: \(error)"))
      return nil
    }
  }

  func respond(_ call: RPCCall, _ response: some SwiftProtobuf.Message) {
    if let message = encode(call, response) { call.respond(message) }
  }

  /// A message with the wire's headroom; nil when the call was refused instead.
  func encode(_ call: RPCCall, _ response: some SwiftProtobuf.Message) -> [UInt8]? {
    do {
      let content: [UInt8] = try response.serializedBytes()
      return [UInt8](repeating: 0, count: RPCCall.messageHeadroom) + content
    } catch {
      call.fail(ClientError(.internal, "grpc: error while marshaling: \(error)"))
      return nil
    }
  }

  func header(revision: Int64) -> Etcdserverpb_ResponseHeader {
    var header = Etcdserverpb_ResponseHeader()
    header.clusterID = context.clusterID
    header.memberID = context.memberID
    header.revision = revision
    header.raftTerm = term
    return header
  }
}
