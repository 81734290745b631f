import Model
import Node
import Primitives
import Replica
import Store

/// Clients of leases: what they wait for, and whose questions are on their way to a leader.
struct LeaseClients {
  struct Call {
    var client: Int
    var position: Int
    var askedAt: UInt64
    var kind: Kind
  }

  enum Kind {
    case grant
    case question(LeaseQuestion)
    /// A write of the history.
    case write
  }

  /// A question that one member asks another.
  struct Forwarded {
    var ticket: UInt64
    var position: Int
    var life: Int
    var leader: Int
    var question: LeaseQuestion
  }

  static let firstTicket: UInt64 = 1 << 41
  static let firstForwarded: UInt64 = 1 << 42
  /// No client keeps those alive, and they are there at the end.
  static let longSeconds: Int64 = 100_000
  static let idsMax = 12

  var homes: [Int]
  var calls: [UInt64: Call] = [:]
  var forwarded: [UInt64: Forwarded] = [:]
  /// Leases that somebody still cares for.
  var ids: [Int64] = []
  var nextTicket = firstTicket
  var nextForwarded = firstForwarded
  /// They ask for nothing from this time on: what is left has to end.
  var until = UInt64.max
  /// What members listed when all was over.
  var listed: [Int: Set<Int64>] = [:]

  init(count: Int, members: Int) { homes = (0..<count).map { $0 % members } }
}

extension ClusterSimulation {
  // MARK: Clients

  func leaseStep(_ client: Int) {
    if time.now >= leases.until { return }
    let position = leases.homes[client]
    guard members[position].node != nil, members[position].isServing else {
      leases.homes[client] = anyMember()
      return time.schedule(.lease(client: client), after: 20 * millisecond)
    }
    if let id = book.overdue(now: time.now), random.chance(1, in: 4) {
      // A race of the renewal with the end.
      return ask(.renew(id), client, position)
    }
    guard let id = leases.ids.randomElement(using: &random) else { return grant(client, position) }
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<15: grant(client, position)
    case 15..<55: ask(.renew(id), client, position)
    case 55..<70: ask(.timeToLive(id), client, position)
    case 70..<90: write(.put(leasedPut(id)), client, position)
    case 90..<95: write(.leaseRevoke(id: id), client, position)
    default:
      leases.ids.removeAll { $0 == id }
      time.schedule(.lease(client: client), after: pause(personality.thinkTime))
    }
  }

  private func call(_ kind: LeaseClients.Kind, _ client: Int, _ position: Int) -> Ticket {
    leases.nextTicket += 1
    leases.calls[leases.nextTicket] = LeaseClients.Call(
      client: client, position: position, askedAt: time.now, kind: kind)
    return Ticket(leases.nextTicket)
  }

  private func grant(_ client: Int, _ position: Int) {
    let times: [Int64] = [2, 2, 3, 5]
    let ttl =
      random.chance(1, in: 10)
      ? LeaseClients.longSeconds : times[Int.random(in: 0..<times.count, using: &random)]
    // Few ids, some of them negative: they come back while their last life ends.
    let id = random.chance(2, in: 3) ? Int64.random(in: -3...3, using: &random) : 0
    post(
      .replica(.leaseGrant(call(.grant, client, position), LeaseGrant(id: id, ttl: ttl))), to: position)
  }

  private func ask(_ question: LeaseQuestion, _ client: Int, _ position: Int) {
    let ticket = call(.question(question), client, position)
    ask(question, ticket, position)
  }

  private func ask(_ question: LeaseQuestion, _ ticket: Ticket, _ position: Int) {
    switch question {
    case .renew(let id): post(.replica(.leaseRenew(ticket, id: id)), to: position)
    case .timeToLive(let id): post(.replica(.leaseTimeToLive(ticket, id: id)), to: position)
    }
  }

  /// Its own key, or one that others write too.
  private func leasedPut(_ id: Int64) -> PutRequest {
    let number = Int.random(in: 0..<3, using: &random)
    let name = random.chance(1, in: 3) ? "key\(100 + number)" : "leased\(id)/\(number)"
    var request = PutRequest(key: Array(name.utf8), value: [UInt8(number)])
    request.lease = id
    return request
  }

  private func write(_ operation: RaftCommand.Operation, _ client: Int, _ position: Int) {
    let ticket = history.submit(.write(operation), client: client, member: members[position].id)
    leases.calls[ticket] = LeaseClients.Call(
      client: client, position: position, askedAt: time.now, kind: .write)
    let proposal = Proposal(
      ticket: Ticket(ticket), operation: RaftCommand(operation: operation).encoded(), username: "\(ticket)")
    post(.replica(.propose(proposal)), to: position)
  }

  /// Lets the client of a call go on that was answered, or never will be.
  func leaseProceed(_ ticket: UInt64) {
    guard let call = leases.calls.removeValue(forKey: ticket) else { return }
    if random.chance(1, in: 5) { leases.homes[call.client] = anyMember() }
    time.schedule(.lease(client: call.client), after: pause(personality.thinkTime))
  }

  // MARK: Answers

  func tookLease(_ answer: Answer, _ position: Int) throws {
    let ticket = answer.ticket.number
    if ticket >= LeaseClients.firstForwarded { return answerAsked(ticket, answer) }
    guard let call = leases.calls[ticket] else {
      guard case .lease(_, .list(let list)) = answer else { return }
      return leases.listed[position] = Set(list.map(\.id))
    }
    note(ticket, time.now)
    switch (call.kind, answer) {
    case (.grant, .applied(_, _, let body)):
      let granted = try LeaseGrant(response: body)
      try book.promised(
        granted.id, granted.ttl, ttlSeconds: granted.ttl, askedAt: call.askedAt)
      leases.ids.append(granted.id)
      if leases.ids.count > LeaseClients.idsMax { leases.ids.removeFirst() }
    case (.question(let question), .lease(_, let answer)):
      try judge(question, answer, askedAt: call.askedAt)
    case (_, .failed(_, let error)): note(Array(error.message.utf8))
    default: throw fail("lease call \(ticket) got an answer to another one")
    }
    leaseProceed(ticket)
  }

  private func judge(_ question: LeaseQuestion, _ answer: LeaseAnswer, askedAt: UInt64) throws {
    switch (question, answer) {
    case (.renew(let id), .renewed(let seconds)):
      if seconds == 0 {
        leases.ids.removeAll { $0 == id }
        return try book.denied(id, askedAt: askedAt)
      }
      try book.promised(id, seconds, ttlSeconds: seconds, askedAt: askedAt)
    case (.timeToLive(let id), .timeToLive(let times)):
      guard let times else { return try book.denied(id, askedAt: askedAt) }
      try book.promised(
        id, times.remainingSeconds, ttlSeconds: times.grantedSeconds, askedAt: askedAt)
    default: throw fail("an answer to another question about leases")
    }
  }

  // MARK: Questions for the leader

  func askLeader(_ ticket: Ticket, _ question: LeaseQuestion, leader id: UInt64, from position: Int) {
    let member = members[position]
    guard let leader = self.position(of: id) else { return }
    leases.nextForwarded += 1
    let number = leases.nextForwarded
    leases.forwarded[number] = LeaseClients.Forwarded(
      ticket: ticket.number, position: position, life: member.life, leader: leader, question: question)
    counts.leaseQuestions += 1
    guard network.isOpen(member.id, id), members[leader].node != nil else { return askAgain(number) }
    time.schedule(
      .input(leader, life: members[leader].life, .replica(.leaseAsked(Ticket(number), question))),
      after: pause(personality.latency))
  }

  private func answerAsked(_ number: UInt64, _ answer: Answer) {
    guard let question = leases.forwarded[number] else { return }
    let way = (members[question.leader].id, members[question.position].id)
    guard case .lease = answer, network.isOpen(way.0, way.1) else { return askAgain(number) }
    leases.forwarded[number] = nil
    time.schedule(
      .leaseAnswer(question.position, life: question.life, ticket: question.ticket, answer),
      after: pause(personality.latency))
  }

  func leaseAnswer(_ position: Int, ticket: UInt64, _ answer: Answer) throws {
    guard leases.calls[ticket] != nil, case .lease(_, let content) = answer else { return }
    try tookLease(.lease(Ticket(ticket), content), position)
  }

  private func askAgain(_ number: UInt64) {
    guard let question = leases.forwarded.removeValue(forKey: number),
      let call = leases.calls[question.ticket]
    else { return }
    guard time.now < call.askedAt + 7 * second else { return leaseProceed(question.ticket) }
    time.schedule(
      .leaseAgain(
        question.position, life: question.life, ticket: question.ticket, question.question),
      after: pause(50 * millisecond))
  }

  func leaseAgain(_ position: Int, ticket: UInt64, _ question: LeaseQuestion) {
    if leases.calls[ticket] != nil { ask(question, Ticket(ticket), position) }
  }

  /// The process is gone, with what clients asked it for and with what other members did.
  func loseLeaseCalls(of position: Int) {
    for number in leases.forwarded.keys.sorted() where leases.forwarded[number]?.leader == position {
      askAgain(number)
    }
    for ticket in leases.calls.keys.sorted() where leases.calls[ticket]?.position == position {
      leaseProceed(ticket)
    }
  }

  // MARK: The end

  func listLeases() {
    for position in members.indices where members[position].node != nil {
      leases.nextTicket += 1
      post(.replica(.leaseList(Ticket(leases.nextTicket))), to: position)
    }
  }

  /// Every member holds the leases of the log and their keys; those that nobody kept alive are gone.
  func checkLeases(_ member: ClusterMember, _ node: ClusterNode, keys: [Int64: [[UInt8]]]) throws {
    let view = try node.store.view()
    defer { view.end() }
    let records = try view.leases()
    guard Dictionary(uniqueKeysWithValues: records.map { ($0.id, $0.ttlSeconds) }) == book.present else {
      throw fail("member \(member.id) holds \(records), not \(book.present)")
    }
    for record in records {
      guard record.ttlSeconds == LeaseClients.longSeconds else {
        throw fail("lease \(record.id) of \(record.ttlSeconds) s never ended")
      }
      guard try view.keys(ofLease: record.id) == keys[record.id] else {
        throw fail("member \(member.id) has other keys of lease \(record.id)")
      }
    }
    let listed = position(of: member.id).flatMap { leases.listed[$0] }
    guard listed == Set(book.present.keys) else {
      throw fail("member \(member.id) lists \(String(describing: listed)), not \(book.present)")
    }
  }
}

extension LeaseGrant {
  /// Id and time of a LeaseGrantResponse without its header.
  fileprivate init(response: [UInt8]) throws {
    let found: Result<LeaseGrant, ProtoError> = response.withUnsafeBytes { bytes in
      do throws(ProtoError) {
        var (reader, grant) = (ProtoReader(bytes), LeaseGrant())
        while let tag = try reader.nextTag() {
          switch tag {
          case .varint(2): grant.id = try reader.readInt64()
          case .varint(3): grant.ttl = try reader.readInt64()
          default: try reader.skip(tag)
          }
        }
        return .success(grant)
      } catch {
        return .failure(error)
      }
    }
    self = try found.get()
  }
}
