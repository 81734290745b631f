import Model
import Raft

extension InteractionEnvironment {
  func addNodes(_ command: ScenarioCommand) throws {
    var start = SnapshotMetadata()
    start.confState.voters = command.list("voters").compactMap { UInt64($0) }
    start.confState.learners = command.list("learners").compactMap { UInt64($0) }
    start.index = command.number("index") ?? 0
    if start != SnapshotMetadata() || command.has("content") {
      if start.index <= 1 {
        throw Violation(description: "index must be specified as > 1 due to bootstrap")
      }
      start.term = 1
    }
    for _ in 0..<command.id {
      let configuration = try configuration(command, memberID: UInt64(nodes.count) + 1)
      nodes.append(InteractionNode(configuration, start: start, trace: output))
    }
  }

  private func configuration(_ command: ScenarioCommand, memberID: UInt64) throws -> RaftConfiguration {
    var limits = RaftLimits()
    limits.catchUpEntries = .max / 2
    limits.catchUpBytes = .max / 2
    limits.messageBytes = .max
    limits.uncommittedBytes = .max
    limits.inflightBytes = .max
    limits.inflightMessages = command.number("inflight").map { Int($0) } ?? .max
    limits.applyBytes = command.number("max-committed-size-per-ready").map { Int($0) } ?? .max
    var configuration = RaftConfiguration(
      memberID: memberID, electionTicks: 3, heartbeatTicks: 1, seed: memberID, limits: limits)
    configuration.batches = false
    configuration.hasSnapshots = true
    configuration.asyncStorageWrites = command.value("async-storage-writes") == "true"
    configuration.preVote = command.value("prevote") == "true"
    configuration.checkQuorum = command.value("checkquorum") == "true"
    configuration.validatesChanges = command.value("disable-conf-change-validation") != "true"
    configuration.stepDownOnRemoval = command.value("step-down-on-removal") == "true"
    switch command.value("read-only") {
    case nil, "safe": break
    case "lease-based":
      if !configuration.checkQuorum {
        throw Violation(
          description: "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased")
      }
      configuration.readMode = .lease
    case let other?: throw Violation(description: "invalid read-only option \"\(other)\"")
    }
    return configuration
  }

  func propose(_ command: ScenarioCommand) throws {
    let words = command.positional
    guard words.count == 2 else { throw Violation(description: "propose needs a node and data") }
    try propose(Entry(term: 0, index: 0, data: Array(words[1].utf8)), at: command.id)
  }

  private func propose(_ entry: Entry, at id: UInt64) throws {
    if try node(id).machine.propose(entry) == .proposalDropped {
      throw Violation(description: "raft proposal dropped")
    }
  }

  func proposeChange(_ command: ScenarioCommand) throws {
    let changes = try confChanges(command.input)
    let transition = try command.transition
    guard command.value("v1") == "true" else {
      let change = ConfChangeV2(transition: transition, changes: changes)
      return try propose(
        Entry(term: 0, index: 0, kind: .confChangeV2, data: change.encoded()), at: command.id)
    }
    guard changes.count == 1, transition == .auto else {
      throw Violation(description: "v1 conf change can only have one operation and no transition")
    }
    let change = ConfChange(kind: changes[0].kind, nodeID: changes[0].nodeID)
    try propose(Entry(term: 0, index: 0, kind: .confChange, data: change.encoded()), at: command.id)
  }

  func tick(_ node: InteractionNode, _ count: Int) { for _ in 0..<count { node.machine.take(.tick) } }

  // MARK: The ready loop and the two stages

  func processReady(_ node: InteractionNode) throws {
    let ready = node.machine.ready()
    output.write(describe(ready))
    messages += ready.messages
    if node.configuration.asyncStorageWrites {
      if let append = ready.append { node.appendWork.append(append) }
      if let apply = ready.apply { node.applyWork.append(apply) }
    } else {
      node.write(ready.entries, snapshot: ready.snapshot)
      if let snapshot = ready.snapshot { node.install(snapshot) }
      try node.apply(ready.committed)
      node.machine.advance()
    }
  }

  func processAppend(_ node: InteractionNode) {
    guard !node.appendWork.isEmpty else { return output.write("no append work to perform") }
    let work = node.appendWork.removeFirst()
    output.write("Processing:\n\(describe(work.message))\n")
    node.write(work.message.entries, snapshot: work.message.snapshot)
    if let snapshot = work.message.snapshot { node.install(snapshot) }
    respond(work)
  }

  func processApply(_ node: InteractionNode) throws {
    guard !node.applyWork.isEmpty else { return output.write("no apply work to perform") }
    let work = node.applyWork.removeFirst()
    output.write("Processing:\n\(describe(work.message))\n")
    try node.apply(work.message.entries)
    respond(work)
  }

  private func respond(_ work: StorageMessage) {
    output.write("Responses:\n")
    for response in work.responses { output.write(describe(response) + "\n") }
    messages += work.responses
  }

  // MARK: Messages

  func deliver(_ command: ScenarioCommand) throws {
    var kind: Message.Kind?
    if let name = command.value("type") {
      guard let known = Message.Kind.allCases.first(where: { $0.name == name }) else {
        throw Violation(description: "unknown message type \(name)")
      }
      kind = known
    }
    var count = 0
    for argument in command.arguments {
      switch argument.key {
      case "type": break
      case "drop":
        for id in argument.values { count += deliver(to: UInt64(id) ?? 0, kind: kind, drops: true) }
      default: count += deliver(to: UInt64(argument.key) ?? 0, kind: kind, drops: false)
      }
    }
    if count == 0 { output.write("no messages\n") }
  }

  /// Returns how many messages there were. What local stages say cannot be lost.
  func deliver(to id: UInt64, kind: Message.Kind?, drops: Bool) -> Int {
    func isMeant(_ message: Message) -> Bool {
      let isLocal = message.from == message.to || message.from >= LocalStage.apply
      return message.to == id && !(drops && isLocal) && (kind == nil || message.kind == kind)
    }
    let arriving = messages.filter(isMeant)
    messages.removeAll(where: isMeant)
    for message in arriving {
      output.write((drops ? "dropped: " : "") + describe(message) + "\n")
      guard !drops, id >= 1, id <= nodes.count else { continue }
      let node = nodes[Int(id) - 1]
      if message.from == id || message.from >= LocalStage.apply {
        node.machine.complete(message)
        continue
      }
      switch node.machine.receive(message) {
      case .taken: break
      case .proposalDropped: output.write("raft proposal dropped\n")
      case .peerUnknown: output.write("raft: cannot step as peer not found\n")
      case .refused(let fault): output.write("refused: \(fault)\n")
      }
    }
    return arriving.count
  }

  func sendSnapshot(_ command: ScenarioCommand) throws {
    let ids = command.positional.compactMap { UInt64($0) }
    guard ids.count == 2 else { throw Violation(description: "send-snapshot needs two nodes") }
    let from = try node(ids[0])
    let message = Message(
      kind: .snapshot, to: ids[1], from: ids[0], term: from.machine.term, snapshot: from.lastSnapshot)
    messages.append(message)
    output.write(describe(message))
  }

  // MARK: Printing

  func printLog(_ node: InteractionNode) {
    if node.storage.isEmpty {
      output.write("log is empty: first index=\(node.firstIndex), last index=\(node.lastIndex)")
    }
    output.write(describe(node.storage))
  }

  func printState() {
    for node in nodes {
      let state = node.machine.leadership
      let vote = node.machine.isVoter ? "Voter" : "Non-Voter"
      output.write("\(node.id): \(state.role.name) (\(vote)) Term:\(state.term) Lead:\(state.leader)\n")
    }
  }
}
