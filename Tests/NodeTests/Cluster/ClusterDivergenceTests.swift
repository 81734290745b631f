import Model
import Node
import Raft
import Store
import Testing

extension ClusterSimulation {
  /// The message with other values in its puts, as faulty memory of its receiver would have it.
  func tampered(_ message: Message) -> Message {
    guard message.kind == .append else { return message }
    var message = message
    for position in message.entries.indices where message.entries[position].kind == .normal {
      guard var command = try? RaftCommand(decoding: message.entries[position].data),
        case .put(var put) = command.operation, !put.value.isEmpty
      else { continue }
      put.value[0] ^= 1
      command.operation = .put(put)
      message.entries[position].data = command.encoded()
    }
    return message
  }

  private var leaderID: UInt64? {
    members.first { $0.node?.opened.node.leadership.role == .leader }?.id
  }

  /// A cluster without other faults, one follower of which gets other data from some time on, until it is named. The load
  /// compacts without pause in some seeds, and nobody speaks meanwhile: it ends after a while.
  fileprivate func runUntilNamed() throws -> UInt64 {
    personality.digestInterval = .max
    areFaultsOn = false
    for position in members.indices { try start(position) }
    time.schedule(.versions, after: second)
    for client in waiting.indices { time.schedule(.request(client: client), after: pause(millisecond)) }
    try run(until: 4 * second)
    guard divergences.isEmpty else { throw fail("found before there is anything to find") }
    guard let leaderID, let victim = members.last(where: { $0.id != leaderID })?.id else {
      throw fail("no leader after four seconds")
    }
    tamperedID = victim
    let isNamed = { self.divergences.contains { $0.differing == [victim] } }
    let begin = time.now
    while !isNamed(), time.now < begin + 10 * second {
      if time.now > begin + 3 * second { isLoadOn = false }
      try run(until: time.now + 100 * millisecond)
    }
    guard isNamed() else { throw fail("not named in ten seconds: \(divergences)") }
    try run(until: time.now + second)
    return victim
  }
}

@Suite struct ClusterDivergenceTests {
  @Test(arguments: UInt64(1)...6)
  func aMemberWithOtherDataIsFoundAndNamed(seed: UInt64) throws {
    let simulation = try ClusterSimulation(seed: seed)
    let tampered = try simulation.runUntilNamed()
    let named = try #require(simulation.divergences.first { $0.differing == [tampered] })
    #expect(named.digests.contains { $0.member == tampered })
    #expect(Set(named.digests.map(\.digest)).count == 2)
    // Before, it may have been open who is wrong.
    #expect(simulation.divergences.allSatisfy { $0.differing == [tampered] || $0.differing == [0] })
    for member in simulation.members {
      let raised = try #require(member.node).opened.node.alarms
      #expect(
        raised.contains(AlarmMember(memberID: tampered, alarm: .corrupt)), "on member \(member.id)")
    }
  }
}
