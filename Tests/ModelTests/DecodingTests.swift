import Model
import Primitives
import Testing

/// Rules of decoding that random bytes seldom meet; each is the behaviour of Go's decoder.
@Suite struct DecodingTests {
  @Test func theLastScalarWinsAndAMessageIsMerged() throws {
    var first = PutRequest(key: [1], value: [2])
    first.lease = 7
    var second = PutRequest(key: [3], value: [])
    second.previousKeyValue = true
    var writer = ProtoWriter()
    writer.messageField(2, first)
    writer.messageField(2, second)
    var merged = PutRequest(key: [3], value: [2])
    merged.lease = 7
    merged.previousKeyValue = true
    #expect(try RequestOperation(decoding: writer.bytes) == .put(merged))
  }

  @Test func theLastMemberOfAUnionWins() throws {
    var writer = ProtoWriter()
    writer.messageField(2, PutRequest(key: [1], value: [2]))
    writer.messageField(3, DeleteRangeRequest(key: [9]))
    writer.messageField(2, PutRequest(key: [3], value: []))
    // Nothing of the first put is left: another member stood between.
    #expect(try RequestOperation(decoding: writer.bytes) == .put(PutRequest(key: [3], value: [])))
  }

  @Test func aPresentButEmptyUnionIsKept() throws {
    #expect(try RequestOperation(decoding: [0x0a, 0]) == .range(RangeRequest()))
    #expect(try RequestOperation(decoding: []) == .none)
    #expect(RequestOperation.range(RangeRequest()).encoded() == [0x0a, 0])
    var compare = Compare()
    compare.operand = .version(0)
    #expect(compare.encoded() == [0x20, 0])
    #expect(try Compare(decoding: [0x20, 0]) == compare)
  }

  @Test func packedAndSingleNumbersMix() throws {
    var expected = ConfState(voters: [1, 2, 3])
    expected.autoLeave = true
    #expect(try ConfState(decoding: [0x08, 1, 0x0a, 2, 2, 3, 0x28, 1]) == expected)
  }

  @Test func nestedTransactionsAreBounded() throws {
    func nested(_ count: Int) -> TransactionRequest {
      var request = TransactionRequest()
      for _ in 0..<count {
        var outer = TransactionRequest()
        outer.success = [.transaction(request)]
        request = outer
      }
      return request
    }
    // Two levels of messages each.
    let deepest = nested(ProtoReader.depthMax / 2)
    #expect(try TransactionRequest(decoding: deepest.encoded()) == deepest)
    let tooDeep = nested(ProtoReader.depthMax / 2 + 1).encoded()
    #expect(throws: ProtoError.tooDeep) { try TransactionRequest(decoding: tooDeep) }
  }

  @Test func theCommandsOfBothHeaders() throws {
    // Field 1 from before the header, and it comes first when both are there.
    #expect(try RaftCommand(decoding: [0x08, 5]).id == 5)
    #expect(try RaftCommand(decoding: [0x08, 5, 0xa2, 0x06, 2, 0x08, 6]).id == 5)
    #expect(try RaftCommand(decoding: [0xa2, 0x06, 2, 0x08, 6]).id == 6)
  }

  @Test func ofTwoOperationsTheOneThatEtcdAppliesIsTaken() throws {
    let put = RaftCommand(operation: .put(PutRequest(key: [1], value: [2])))
    let version = RaftCommand(operation: .clusterVersionSet("3.7"))
    #expect(try RaftCommand(decoding: put.encoded() + version.encoded()) == version)
    #expect(try RaftCommand(decoding: version.encoded() + put.encoded()) == version)
  }

  @Test func anUnknownCommandIsNamed() throws {
    #expect(try RaftCommand(decoding: [0xc2, 0x3e, 1, 0xff]).operation == .unsupported(field: 1000))
  }

  @Test func anEntryOfUnknownKindIsRefused() {
    #expect(throws: ProtoError.badEnumValue) { try Entry(decoding: [0x08, 3]) }
    #expect(throws: ProtoError.badEnumValue) { try Message(decoding: [0x08, 24]) }
  }

  /// raftpb writes zeros, etcd's logs hold them: four bytes fewer would be another checksum.
  @Test func zerosOfTheLogAreWritten() {
    #expect(Entry(term: 0, index: 0).encoded() == [0x08, 0, 0x10, 0, 0x18, 0])
    #expect(HardState().encoded() == [0x08, 0, 0x10, 0, 0x18, 0])
    #expect(ConfState(voters: [1]).encoded() == [0x08, 1, 0x28, 0])
    #expect(SnapshotMetadata().encoded() == [0x0a, 2, 0x28, 0, 0x10, 0, 0x18, 0])
  }
}
