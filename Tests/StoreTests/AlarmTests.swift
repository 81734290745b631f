import Model
import Primitives
import Store
import Testing

/// What alarms refuse, command by command, and how they come and go.
@Suite("Alarms")
struct AlarmTests {
  private static let own: UInt64 = 8
  private static let other: UInt64 = 9

  private static func alarm(
    _ action: AlarmCommand.Action, _ alarm: AlarmCommand.Alarm, member: UInt64 = own
  ) -> RaftCommand.Operation {
    .alarm(AlarmCommand(action: action, memberID: member, alarm: alarm))
  }

  private static func put(_ key: String, _ value: String = "v") -> RequestOperation {
    .put(PutRequest(key: Array(key.utf8), value: Array(value.utf8)))
  }

  private static func transaction(
    _ success: [RequestOperation], else failure: [RequestOperation] = []
  ) -> TransactionRequest {
    var request = TransactionRequest()
    request.success = success
    request.failure = failure
    return request
  }

  private static let key = Array("k".utf8)
  private static let read = RequestOperation.range(RangeRequest(key: key))
  private static let delete = RequestOperation.deleteRange(DeleteRangeRequest(key: key))

  /// Each command with what it is refused with under NOSPACE and under CORRUPT; nil: not refused.
  private static let table: [(String, RaftCommand.Operation, ClientError?, ClientError?)] = [
    ("range", .range(RangeRequest(key: key)), nil, .corruptCluster),
    ("put", .put(PutRequest(key: key, value: key)), .noSpace, .corruptCluster),
    ("put of nothing", .put(PutRequest(key: key, value: [])), .noSpace, .corruptCluster),
    ("delete", .deleteRange(DeleteRangeRequest(key: key)), nil, .corruptCluster),
    ("empty transaction", .transaction(transaction([])), nil, .corruptCluster),
    ("transaction that reads", .transaction(transaction([read])), nil, .corruptCluster),
    ("transaction that deletes", .transaction(transaction([delete], else: [delete])), nil, .corruptCluster),
    ("transaction that puts", .transaction(transaction([put("a")])), .noSpace, .corruptCluster),
    (
      "transaction that would put", .transaction(transaction([], else: [put("a")])), .noSpace, .corruptCluster
    ),
    (
      "nested put", .transaction(transaction([.transaction(transaction([put("a")]))])), .noSpace,
      .corruptCluster
    ),
    (
      "nested put not taken",
      .transaction(transaction([.transaction(transaction([delete], else: [read, put("a")]))])), .noSpace,
      .corruptCluster
    ),
    ("compaction", .compaction(CompactionRequest(revision: 2)), nil, .corruptCluster),
    ("lease grant", .leaseGrant(LeaseGrant(id: 1, ttl: 10)), .noSpace, .corruptCluster),
    ("lease revoke", .leaseRevoke(id: 1), nil, .corruptCluster),
    ("lease checkpoint", .leaseCheckpoint([LeaseCheckpoint(id: 1, remainingTTL: 1)]), nil, nil),
    ("cluster version", .clusterVersionSet("3.7.0"), nil, nil),
    (
      "attributes", .clusterMemberAttributesSet(MemberAttributes(memberID: own, name: "n", clientURLs: [])),
      nil, nil
    ),
    ("alarm list", alarm(.get, .none), nil, nil),
  ]

  @Test(
    "What each alarm refuses",
    arguments: table.indices, [AlarmCommand.Alarm.noSpace, .corrupt])
  func refusals(index: Int, raised: AlarmCommand.Alarm) throws {
    let (name, command, underNoSpace, underCorrupt) = Self.table[index]
    let expected = raised == .noSpace ? underNoSpace : underCorrupt
    let harness = try MVCCHarness()
    _ = try harness.apply(.put(PutRequest(key: Self.key, value: [1])))
    _ = try harness.apply(.put(PutRequest(key: Self.key, value: [2])))
    // Whoever raised it, it holds for all.
    _ = try harness.apply(Self.alarm(.activate, raised, member: Self.other))
    let before = try harness.applier.revision
    let result = try harness.apply(command)
    if let expected {
      #expect(result.outcome == .failure(expected), "\(name)")
      #expect(try harness.applier.revision == before && harness.applier.compactRevision == -1, "\(name)")
    } else {
      #expect(result.outcome != .failure(.noSpace) && result.outcome != .failure(.corruptCluster), "\(name)")
    }
    // Once it is disarmed, it refuses no more.
    _ = try harness.apply(Self.alarm(.deactivate, raised, member: Self.other))
    let after = try harness.apply(command)
    #expect(after.outcome != .failure(.noSpace) && after.outcome != .failure(.corruptCluster), "\(name)")
  }

  /// The members of an AlarmResponse.
  private func listed(_ result: ApplyResult) throws -> [AlarmMember] {
    var reply = Reply()
    reply = try Reply(decoding: result.outcome.get())
    return reply.alarms
  }

  private struct Reply: WireMessage {
    var alarms: [AlarmMember] = []
    mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
      while let tag = try reader.nextTag() {
        guard case .length(2) = tag else { throw .badTag }
        var alarm = AlarmMember()
        var inner = try reader.readMessage()
        try alarm.merge(from: &inner)
        alarms.append(alarm)
      }
    }
    func encode(into writer: inout ProtoWriter) {}
    var encodedSize: Int { 0 }
  }

  @Test("Answers of activate, get and deactivate")
  func answers() throws {
    let harness = try MVCCHarness()
    let mine = AlarmMember(memberID: Self.own, alarm: .noSpace)
    let corrupt = AlarmMember(memberID: Self.other, alarm: .corrupt)
    func apply(_ operation: RaftCommand.Operation) throws -> [AlarmMember] {
      let result = try harness.apply(operation)
      #expect(result.headerRevision == 1, "alarms spend no revision")
      return try listed(result)
    }
    #expect(try apply(Self.alarm(.activate, .none)) == [])
    #expect(try apply(Self.alarm(.get, .none)) == [])
    #expect(try apply(Self.alarm(.activate, .noSpace)) == [mine])
    #expect(try apply(Self.alarm(.activate, .noSpace)) == [mine], "raised already")
    #expect(try apply(Self.alarm(.activate, .corrupt, member: Self.other)) == [corrupt])
    #expect(try apply(Self.alarm(.get, .none)) == [mine, corrupt])
    #expect(try apply(Self.alarm(.get, .corrupt)) == [corrupt])
    #expect(try apply(Self.alarm(.deactivate, .corrupt)) == [], "of a member that raised none")
    #expect(try apply(Self.alarm(.deactivate, .none)) == [])
    // Lowering one alarm leaves the other in force; etcd 3.5 forgot it.
    #expect(try apply(Self.alarm(.deactivate, .noSpace)) == [mine])
    #expect(
      try harness.apply(.put(PutRequest(key: Self.key, value: []))).outcome == .failure(.corruptCluster))
    #expect(try apply(Self.alarm(.deactivate, .corrupt, member: Self.other)) == [corrupt])
    #expect(try apply(Self.alarm(.get, .none)) == [])
    _ = try harness.apply(.put(PutRequest(key: Self.key, value: []))).outcome.get()
  }

  @Test("Unknown actions and alarms change nothing, though etcd would end the process")
  func unknown() throws {
    let harness = try MVCCHarness()
    for (action, alarm) in [(7, 1), (1, 7), (1, -1), (2, 7), (-1, -1)] as [(Int32, Int32)] {
      let result = try harness.apply(
        .alarm(AlarmCommand(action: action, memberID: Self.own, alarm: alarm)))
      #expect(try listed(result) == [] && harness.alarms.isEmpty)
    }
  }

  @Test("Alarms survive a restart, from the file and from the log", arguments: [false, true])
  func restart(committed: Bool) throws {
    let harness = try MVCCHarness()
    _ = try harness.apply(Self.alarm(.activate, .corrupt, member: Self.other))
    _ = try harness.apply(Self.alarm(.activate, .noSpace))
    _ = try harness.apply(Self.alarm(.deactivate, .corrupt, member: Self.other))
    if committed { try harness.commitEverything() }
    _ = try harness.reopen()
    let view = try harness.view()
    defer { view.end() }
    #expect(try harness.alarms.members == [AlarmMember(memberID: Self.own, alarm: .noSpace)])
    #expect(try view.alarms() == harness.alarms)
    #expect(try harness.apply(.put(PutRequest(key: Self.key, value: []))).outcome == .failure(.noSpace))
  }
}
