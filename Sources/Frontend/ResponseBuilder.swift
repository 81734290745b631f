import Model
import Primitives
import Wire

/// Builds response messages: the wire's headroom, the header (field 1), then the fields of the response.
struct ResponseBuilder {
  private let headroom = [UInt8](repeating: 0, count: RPCCall.messageHeadroom)
  /// cluster_id and member_id, which never change, as they stand at the front of every header.
  private let identity: [UInt8]

  init(clusterID: UInt64, memberID: UInt64) {
    var writer = ProtoWriter()
    writer.uint64(1, clusterID)
    writer.uint64(2, memberID)
    identity = writer.bytes
  }

  /// A writer that stands behind the header; `reserving` is a guess of what follows, in bytes.
  func begin(revision: Int64, term: UInt64, reserving: Int = 0) -> ProtoWriter {
    var writer = ProtoWriter(reserving: 48 + reserving)
    writer.raw(headroom)
    appendHeader(revision: revision, term: term, to: &writer)
    return writer
  }

  func appendHeader(revision: Int64, term: UInt64, to writer: inout ProtoWriter) {
    writer.message(1, size: identity.count + ProtoSize.int64(3, revision) + ProtoSize.uint64(4, term))
    writer.raw(identity)
    writer.int64(3, revision)
    writer.uint64(4, term)
  }

  /// A whole response around fields that were encoded elsewhere.
  func response(revision: Int64, term: UInt64, body: [UInt8]) -> [UInt8] {
    var writer = begin(revision: revision, term: term, reserving: body.count)
    writer.raw(body)
    return writer.bytes
  }

  /// A message of a stream that carries no header.
  func headless(reserving: Int) -> ProtoWriter {
    var writer = ProtoWriter(reserving: reserving + headroom.count)
    writer.raw(headroom)
    return writer
  }
}
