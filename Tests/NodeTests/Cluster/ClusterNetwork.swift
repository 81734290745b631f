import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Snapshot
import Store
import WriteAheadLog

/// Which ways are open. One-way partitions are common: a member hears and is not heard.
struct ClusterNetwork {
  private struct Block {
    var number: Int
    var from: UInt64
    var to: UInt64
  }

  private var blocks: [Block] = []
  private var lastNumber = 0

  func isOpen(_ from: UInt64, _ to: UInt64) -> Bool { !blocks.contains { $0.from == from && $0.to == to } }

  /// Returns the partition's number, by which it is healed.
  mutating func block(_ ways: [(from: UInt64, to: UInt64)]) -> Int {
    lastNumber += 1
    for way in ways { blocks.append(Block(number: lastNumber, from: way.from, to: way.to)) }
    return lastNumber
  }

  mutating func heal(_ number: Int) { blocks.removeAll { $0.number == number } }
  mutating func healAll() { blocks.removeAll() }
}

extension ClusterSimulation {
  func position(of id: UInt64) -> Int? { members.firstIndex { $0.id == id } }

  func send(_ message: Message) {
    counts.messages += 1
    guard network.isOpen(message.from, message.to) else { return }
    if areFaultsOn, random.chance(personality.loss, in: 10_000) { return }
    time.schedule(.deliver(message), after: delay())
    // Links are streams: what a client asked for is not sent twice.
    if areFaultsOn, message.kind != .propose, random.chance(personality.duplication, in: 10_000) {
      time.schedule(.deliver(message), after: delay() * 4)
    }
  }

  private func delay() -> UInt64 {
    let mean = areFaultsOn ? personality.latency : min(personality.latency, 2 * millisecond)
    // Now and then something comes much later than what follows it.
    return areFaultsOn && random.chance(1, in: 50) ? pause(20 * mean) : pause(mean)
  }

  func deliver(_ message: Message) throws {
    guard let position = position(of: message.to), members[position].node != nil else { return }
    let member = members[position]
    if member.knownRemoved.contains(message.from) {
      // The transport's 410 Gone: the sender hears that it was removed.
      if let sender = self.position(of: message.from), network.isOpen(member.id, message.from) {
        try remove(sender)
      }
      return
    }
    // What crosses the network is bytes.
    if counts.messages % 16 == 0 {
      guard try Message(decoding: message.encoded()) == message else { throw fail("a message changed") }
    }
    post(.replica(.message(message.to == tamperedID ? tampered(message) : message)), to: position)
  }

  // MARK: Snapshots

  func send(_ snapshot: OutgoingSnapshot, from position: Int) throws {
    let member = members[position]
    let bytes = try member.files.disk.readAll(snapshot.path, limit: 64 << 20)
    guard bytes.count == snapshot.bytes else { throw fail("a snapshot of another size than announced") }
    time.schedule(
      .deliverSnapshot(snapshot, from: position, life: member.life, bytes: bytes),
      after: pause(100 * millisecond))
  }

  func deliver(_ snapshot: OutgoingSnapshot, from sender: Int, life: Int, bytes: [UInt8]) throws {
    let succeeded = try receive(snapshot, bytes)
    guard isAlive(sender, life) else { return }
    time.schedule(
      .input(sender, life: life, .snapshotSent(snapshot, succeeded: succeeded)), after: delay())
  }

  private func receive(_ snapshot: OutgoingSnapshot, _ bytes: [UInt8]) throws -> Bool {
    let message = snapshot.message
    guard network.isOpen(message.from, message.to), let position = position(of: message.to),
      members[position].node != nil
    else { return false }
    let member = members[position]
    if areFaultsOn, random.chance(personality.loss, in: 2_000) { return false }
    do {
      member.receivers += 1
      let receiver = try SnapshotReceiver(
        place: member.files.place, message: message, clusterID: ClusterFiles.clusterID,
        bytesExpected: bytes.count, number: member.receivers)
      var offset = 0
      while offset < bytes.count {
        let end = min(offset + 4_000, bytes.count)
        try bytes[offset..<end].withUnsafeBytes { try receiver.append($0) }
        offset = end
      }
      let received = try receiver.finish()
      counts.snapshots += 1
      time.schedule(
        .input(position, life: member.life, .snapshotReceived(received)), after: pause(millisecond))
      return true
    } catch let error as SnapshotReceiveError {
      guard case .snapshot(.disk) = error else { throw fail("member \(member.id): \(error)") }
      try crash(position)
      return false
    }
  }
}
