import Disk
import Model
import Node
import Primitives
import Raft
import Replica
import Snapshot
import Store
import WriteAheadLog

// What goes wrong, what an operator does, and how it heals.
extension ClusterSimulation {
  func fault() throws {
    time.schedule(.fault, after: pause(personality.faultInterval))
    guard areFaultsOn else { return }
    let position = anyMember()
    let choice = Int.random(in: 0..<100, using: &random)
    var limit = personality.powerCuts
    if choice < limit { return try cutPower(position) }
    limit += personality.partitions
    if choice < limit { return partition(position) }
    limit += personality.stops
    if choice < limit { return try stopInOrder(position) }
    limit += personality.pauses
    if choice < limit {
      members[position].pausedUntil = time.now + UInt64.random(in: 1...30, using: &random) * 100 * millisecond
      return
    }
    limit += personality.changes
    if choice < limit { return try changeMembers(at: position) }
    limit += personality.transfers
    if choice < limit { transferLeadership(at: position) }
  }

  private func cutPower(_ position: Int) throws {
    guard members[position].node != nil else { return }
    // In the middle of the next batches' system calls, or now.
    if random.chance(1, in: 3) { return try crash(position) }
    let disk = members[position].files.disk
    disk.cutPower(atOperation: disk.operationCount + Int.random(in: 0...8, using: &random))
  }

  /// Cuts ways of one member, in one or both directions, to one or all others.
  private func partition(_ position: Int) {
    let id = members[position].id
    let others = members.filter { $0.id != id }
    guard let other = others.randomElement(using: &random) else { return }
    let cut = random.chance(1, in: 2) ? others.map(\.id) : [other.id]
    var ways: [(from: UInt64, to: UInt64)] = []
    let direction = Int.random(in: 0..<3, using: &random)
    for peer in cut {
      if direction != 1 { ways.append((id, peer)) }
      if direction != 2 { ways.append((peer, id)) }
    }
    counts.partitions += 1
    let number = network.block(ways)
    note(0x9a57, id, UInt64(ways.count))
    tellConnectivity()
    time.schedule(.heal(number), after: pause(3 * second))
  }

  func heal(_ partition: Int) {
    network.heal(partition)
    tellConnectivity()
  }

  /// What each transport knows of its peers.
  private func tellConnectivity() {
    for position in members.indices {
      for other in members where other.id != members[position].id {
        let isConnected = network.isOpen(members[position].id, other.id) && other.node != nil
        post(.replica(.connectivity(peer: other.id, isConnected: isConnected)), to: position)
      }
    }
  }

  /// Power fails: the process is gone, and any part of what was not synced.
  func crash(_ position: Int) throws {
    let member = members[position]
    counts.crashes += 1
    note(0xdead, time.now, member.id)
    takeDown(position)
    member.files.disk.crash(.random, random: &random)
    time.schedule(.restart(position), after: 10 * millisecond + pause(400 * millisecond))
  }

  private func takeDown(_ position: Int) {
    let member = members[position]
    member.takeDown()
    _ = member.recorder.take()
    history.loseOutstanding(of: member.id)
    for client in waiting.indices {
      guard let ticket = waiting[client], history.member(of: ticket) == member.id else { continue }
      waiting[client] = nil
      homes[client] = anyMember()
      time.schedule(.request(client: client), after: pause(50 * millisecond))
    }
    loseLeaseCalls(of: position)
    tellConnectivity()
  }

  private func stopInOrder(_ position: Int) throws {
    let member = members[position]
    guard let node = member.node else { return }
    do {
      let inputs = member.inbox
      member.inbox.removeAll()
      try take(try node.process(inputs, now: time.now), position, node)
      guard member.node === node else { return }
      try take(try node.stop(), position, node)
    } catch let error as NodeError {
      guard case .log(.disk) = error else { throw fail("member \(member.id): \(error)") }
      return try crash(position)
    }
    counts.cleanStops += 1
    takeDown(position)
    member.files.disk.crash(.loseEverything, random: &random)
    time.schedule(.restart(position), after: 10 * millisecond + pause(400 * millisecond))
  }

  /// It is no member any more, and stays away.
  func remove(_ position: Int) throws {
    let member = members[position]
    if member.isRemoved { return }
    member.isRemoved = true
    counts.removals += 1
    note(0x3e30, member.id)
    takeDown(position)
  }

  func start(_ position: Int) throws {
    let member = members[position]
    guard member.node == nil, !member.isRemoved else { return }
    member.life += 1
    let recorder = member.recorder
    do {
      let node = try ClusterNode(
        member.files,
        options: personality.nodeOptions(
          member.files, starts: member.life, now: time.now, recorder: { recorder.add($0) }),
        storeOptions: personality.storeOptions, initialMembers: member.initialMembers,
        saltSeed: UInt32(truncatingIfNeeded: random.next()), now: time.now)
      member.node = node
      note(0x57a7, member.id, node.store.recovery.appliedIndex, node.opened.recovery.lastIndex)
      member.inbox = [.watched(true), .replica(.tick)]
      member.isProcessScheduled = true
      time.schedule(.process(position, life: member.life), after: 0)
      time.schedule(.tick(position, life: member.life), after: pause(50 * millisecond))
      tellConnectivity()
    } catch let error as NodeError {
      // A fault that was planned for some later operation hit the start.
      guard error.isOfDisk else { throw fail("start of \(member.id): \(error)") }
      member.files.disk.crash(.random, random: &random)
      time.schedule(.restart(position), after: 10 * millisecond)
    }
  }

  /// Everything works from now on.
  func heal() throws {
    areFaultsOn = false
    network.healAll()
    for position in members.indices {
      members[position].pausedUntil = 0
      // A power cut that was planned is taken back with the crash that it would have been.
      if members[position].node != nil { try crash(position) }
    }
  }

  // MARK: The operator

  private func nextTicket() -> Ticket {
    nextOperation += 1
    return Ticket(nextOperation)
  }

  func tookOperation(_ answer: Answer) {
    switch answer {
    case .applied: counts.operations += 1
    case .failed(_, let error): note(Array(error.message.utf8))
    case .readReady, .lease: break
    }
  }

  private func transferLeadership(at position: Int) {
    let target = members[anyMember()].id
    post(
      .replica(.transferLeadership(nextTicket(), to: random.chance(1, in: 2) ? 0 : target)), to: position)
  }

  /// Adds a new member, promotes one, or removes one, so that the size stays about what it was.
  private func changeMembers(at position: Int) throws {
    let present = members.filter { !$0.isRemoved }
    let choice = Int.random(in: 0..<3, using: &random)
    if choice == 0, present.count < personality.size + 2 {
      nextMemberID += 1
      let id = nextMemberID
      let isLearner = random.chance(2, in: 3)
      let member = Member(id: id, peerURLs: ["http://127.0.0.1:\(2_000 + id)"], isLearner: isLearner)
      post(.changeMembers(nextTicket(), .add(member)), to: position)
      // Whether or not it is taken in, it starts: without a cluster it waits.
      members.append(try ClusterMember(id: id, seed: seed, initialMembers: []))
      time.schedule(.restart(members.count - 1), after: pause(second))
    } else if choice == 1, let joined = present.last(where: { $0.id > 100 }) {
      for other in members.indices { post(.changeMembers(nextTicket(), .promote(id: joined.id)), to: other) }
    } else if present.count > 3, let victim = present.randomElement(using: &random) {
      post(.changeMembers(nextTicket(), .remove(id: victim.id)), to: position)
    }
  }
}

extension NodeError {
  /// Whether a fault of the simulated disk is behind it.
  fileprivate var isOfDisk: Bool {
    switch self {
    case .log(.disk), .snapshotDirectory, .snapshotNotInstalled(.snapshot(.disk)): true
    default: false
    }
  }
}
