import Disk
import Model
import Offline
import Testing
import WriteAheadLog

@Suite struct LogDumpTests {
  private func dump(
    _ fixture: MemberFixture, _ filters: [EntryFilter], from index: UInt64 = 0
  ) throws -> (records: [Offline.LogRecord], count: Int) {
    var records: [Offline.LogRecord] = []
    let count = try LogDump(filters: filters, startIndex: index).run(fixture.place, disk: fixture.disk) {
      records.append($0)
    }
    return (records, count)
  }

  private func entries(_ records: [Offline.LogRecord]) -> [Entry] {
    records.compactMap { record in
      if case .entry(let entry, _) = record.content { return entry }
      return nil
    }
  }

  @Test func `every entry is there, decoded, with where it lies`() throws {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(200, seed: 2), stored: 50)
    let (records, count) = try dump(fixture, [.normal, .configChange])
    #expect(entries(records) == fixture.entries && count == 201)
    #expect(records.contains { if case .close = $0.content { true } else { false } })
    #expect(records.contains { if case .segment = $0.content { true } else { false } })
    #expect(records.contains { if case .hardState = $0.content { true } else { false } })
    #expect(!records.contains { if case .damage = $0.content { true } else { false } })
  }

  @Test func `filters are etcd-dump-logs'`() throws {
    let fixture = try MemberFixture()
    try fixture.make(SampleCommands.make(200, seed: 2), stored: 50)
    let puts = fixture.entries.filter { entry in
      if case .command(let command) = EntryContent(entry), case .put = command.operation { return true }
      return false
    }
    #expect(entries(try dump(fixture, [.put]).records) == puts && puts.count > 50)
    #expect(entries(try dump(fixture, [.configChange]).records) == [fixture.entries[0]])
    #expect(entries(try dump(fixture, [.normal], from: 150).records) == Array(fixture.entries[149...]))
    #expect(try dump(fixture, [.request]).count == 0)
    #expect(try dump(fixture, [.leaseGrant]).count == 2)
  }

  @Test func `commands read as etcd's tools print them`() {
    var put = PutRequest(key: Array("a\"\n".utf8), value: [0, 255, 65])
    put.lease = 7
    let command = RaftCommand(id: 3, operation: .put(put))
    #expect(
      MessageText(command).text
        == #"header:<ID:3 > put:<key:"a\"\n" value:"\000\377A" lease:7 >"#)
    #expect(
      MessageText(command).json
        == #"{"header":{"ID":3},"put":{"key":"YSIK","value":"AP9B","lease":7}}"#)
    var transaction = TransactionRequest()
    var compare = Compare()
    compare.key = [97]
    compare.target = 1
    compare.operand = .createRevision(4)
    transaction.compare = [compare]
    transaction.success = [.put(PutRequest(key: [98], value: [])), .range(RangeRequest(key: [99]))]
    #expect(
      MessageText(RaftCommand(operation: .transaction(transaction))).text
        == #"txn:<compare:<target:CREATE key:"a" create_revision:4 > "#
        + #"success:<request_put:<key:"b" > > success:<request_range:<key:"c" > > >"#)
    #expect(
      MessageText(ConfChange(kind: .removeNode, nodeID: 255)).text == "method:ConfChangeRemoveNode id:ff")
    #expect(MessageText(RaftCommand(operation: .leaseRevoke(id: -1))).json == #"{"lease_revoke":{"ID":-1}}"#)
  }
}
