import Model
import Primitives
import Testing

/// The data of normal entries: what may be taken from another member, and what etcd before 3.6 writes.
@Suite struct EntryTests {
  private static let commands: [RaftCommand] = [
    RaftCommand(id: 1, operation: .put(PutRequest(key: [1], value: Array(repeating: 2, count: 40)))),
    RaftCommand(id: 2, username: "root", operation: .put(PutRequest(key: [1], value: [2]))),
    RaftCommand(id: 3, operation: .deleteRange(DeleteRangeRequest(key: [9]))),
    RaftCommand(id: 4, operation: .leaseGrant(LeaseGrant(id: 7, ttl: 60))),
    RaftCommand(
      id: 5,
      operation: .clusterMemberAttributesSet(MemberAttributes(memberID: 8, name: "n", clientURLs: ["u"]))),
    RaftCommand(id: 6, operation: .clusterVersionSet("3.7.0")),
  ]

  /// As etcd 3.5.1 wrote them.
  private func legacy(_ method: String, _ path: String, _ value: String) -> [UInt8] {
    var writer = ProtoWriter()
    writer.uint64(1, 0xbb_b1_e3_fb_50_7c_0e)
    writer.string(2, method)
    writer.string(3, path)
    writer.string(4, value)
    let zeros: [UInt8] = [
      0x28, 0, 0x32, 0, 0x38, 0, 0x48, 0, 0x50, 0, 0x58, 0, 0x60, 0, 0x68, 0, 0x70, 0, 0x78, 0,
    ]
    return writer.bytes + zeros + [0x80, 1, 0]
  }

  @Test func membersOfEtcdBefore36SayWhoTheyAre() throws {
    let attributes = legacy(
      "PUT", "/0/members/440c7b50e3fbbb1/attributes",
      #"{"name":"m2","clientURLs":["http://127.0.0.1:55971"]}"#)
    #expect(
      try RaftCommand(entry: attributes).operation
        == .clusterMemberAttributesSet(
          MemberAttributes(
            memberID: 0x440_c7b5_0e3f_bbb1, name: "m2", clientURLs: ["http://127.0.0.1:55971"])))
    let version = legacy("PUT", "/0/version", "3.5.0")
    #expect(try RaftCommand(entry: version).operation == .clusterVersionSet("3.5.0"))
    #expect(RaftCommand.isExecutable(entry: attributes) && RaftCommand.isExecutable(entry: version))
    // The rest of the old store is no more: taken, and nothing comes of it.
    for other in [
      legacy("SYNC", "", ""), legacy("PUT", "/1/key", "value"),
      legacy("DELETE", "/0/members/1/attributes", ""),
    ] {
      #expect(try RaftCommand(entry: other).operation == .none)
      #expect(RaftCommand.isExecutable(entry: other))
    }
    for bad in [
      legacy("PUT", "/0/members/xyz/attributes", #"{"name":"m2"}"#),
      legacy("PUT", "/0/members/1/attributes", #"{"name":7}"#), legacy("PUT", "/0/members/1/attributes", ""),
    ] {
      #expect(throws: ProtoError.badLegacyRequest) { try RaftCommand(entry: bad) }
      #expect(!RaftCommand.isExecutable(entry: bad))
    }
  }

  @Test func commandsAreExecutableAndOtherBytesAreNot() {
    for command in Self.commands { #expect(RaftCommand.isExecutable(entry: command.encoded())) }
    for text in ["", "3.7", "3.7.x", "3.7.0\"", "3..0", "-3.7.0", "3.7.00000000000000000000"] {
      let version = RaftCommand(id: 1, operation: .clusterVersionSet(text)).encoded()
      #expect(!RaftCommand.isExecutable(entry: version), "\(text)")
    }
    let header = RaftCommand(id: 1, operation: .none).encoded()
    for bytes: [UInt8] in [
      [0xff], Array("garbage of some length".utf8), header, [0x22, 5, 0x0a], [0x30, 0],
    ] {
      #expect(!RaftCommand.isExecutable(entry: bytes), "\(bytes)")
    }
  }

  /// Looking a put through says the same as reading it.
  @Test func whatIsExecutableCanBeRead() {
    var random = SeededRandom(seed: 11)
    var taken = 0
    for round in 0..<60_000 {
      var bytes = Self.commands[round % Self.commands.count].encoded()
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        default: bytes.remove(at: place)
        }
      }
      let isExecutable = RaftCommand.isExecutable(entry: bytes)
      let command = try? RaftCommand(entry: bytes)
      if isExecutable { taken += 1 }
      #expect(!isExecutable || command != nil, "\(bytes)")
      switch command?.operation {
      case nil, RaftCommand.Operation.none?: #expect(!isExecutable, "\(bytes)")
      case .clusterVersionSet?: break
      default: #expect(isExecutable, "\(bytes)")
      }
    }
    #expect(taken > 5_000 && taken < 55_000)
  }
}
