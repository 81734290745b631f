internal import Primitives

/// A request to etcd's old store (etcdserverpb.Request), as members of etcd up to 3.5 write it into the log. Of the old
/// store only this is left: what a member says of itself, and the cluster's version.
struct LegacyRequest {
  private var id: UInt64 = 0
  private var method = ""
  private var path = ""
  private var value = ""

  private static let methods: Set<String> = ["GET", "HEAD", "PUT", "POST", "DELETE", "QGET", "SYNC"]
  /// It begins with its id and goes on with a method; commands that have an id in front are from before etcd 3.0.
  private static let firstByte: UInt8 = 0x08

  /// Nil if the data is none.
  init?(entry data: [UInt8]) {
    guard data.first == Self.firstByte else { return nil }
    let isRead = unsafe data.withUnsafeBytes { bytes in
      var reader = unsafe ProtoReader(bytes)
      return (try? read(from: &reader)) != nil
    }
    guard isRead, Self.methods.contains(method) else { return nil }
  }

  private mutating func read(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readVarint()
      case .length(2): method = try reader.readString()
      case .length(3): path = try reader.readString()
      case .length(4): value = try reader.readString()
      default: try reader.skip(tag)
      }
    }
  }

  /// What is done for it; `none` for all that the old store did. Nil if its content is not what its path asks for.
  var command: RaftCommand? {
    guard method == "PUT" else { return RaftCommand(id: id) }
    if path == "/0/version" { return RaftCommand(id: id, operation: .clusterVersionSet(value)) }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[0].isEmpty, parts[1] == "0", parts[2] == "members",
      parts[4] == "attributes"
    else { return RaftCommand(id: id) }
    guard let memberID = UInt64(parts[3], radix: 16), let attributes = attributes(of: memberID) else {
      return nil
    }
    return RaftCommand(id: id, operation: .clusterMemberAttributesSet(attributes))
  }

  /// `{"name":"n","clientURLs":["http://h:2379"]}`
  private func attributes(of memberID: UInt64) -> MemberAttributes? {
    var member = Member(id: memberID, peerURLs: [])
    var scanner = JSONScanner(Array(value.utf8))
    let isWhole = scanner.object { key, scanner in
      key == "name" || key == "clientURLs" ? member.read(key, from: &scanner) : scanner.skipValue()
    }
    guard isWhole, scanner.isAtEnd else { return nil }
    return MemberAttributes(memberID: memberID, name: member.name, clientURLs: member.clientURLs)
  }
}
