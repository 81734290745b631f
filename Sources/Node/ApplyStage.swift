import Model
import Primitives
import Raft
import Replica
import Store

/// The row of `meta` that holds the configuration; `StoreRecovery.confState` brings it back.
private let confStateKey = Array("confState".utf8)

/// The apply stage: executes committed entries in order and answers who waits for them.
struct ApplyStage {
  private var commands: CommandApplier
  private var waiting: [ApplyBatch] = []
  /// Entries of `waiting[0]` already executed.
  private var position = 0
  private(set) var confState: ConfState
  /// Whether the executed entries changed what is known of members, and whether that removed this one.
  private var memberNews = MemberNews()
  /// What the entries executed since the last `takeLeaseChanges` did to leases.
  private var leaseChanges: [LeaseChange] = []
  private let stopwatch: @Sendable () -> UInt64
  private let slowFrom: UInt64
  /// When the command before the current one ended: one look at the clock a command tells how long it took.
  private var lastLap: UInt64 = 0
  private var slow: [NodeNotice] = []
  /// Slow commands of one run that are told one by one.
  private static let slowNoticesMax = 64

  /// The last index at which all members say what their data is: at each empty entry, and at fixed distances.
  private(set) var lastComparedIndex: UInt64 = 0
  /// What this one has to say, of those since the last `takeDigests`.
  private var digests: [StateDigest] = []
  private let digestInterval: UInt64
  /// Sees every executed entry.
  private let recorder: ((Entry) -> Void)?

  init(
    _ commands: CommandApplier, confState: ConfState, stopwatch: @escaping @Sendable () -> UInt64,
    slowFrom: UInt64, digestInterval: UInt64 = .max, recorder: ((Entry) -> Void)? = nil
  ) {
    self.commands = commands
    self.confState = confState
    self.stopwatch = stopwatch
    self.slowFrom = slowFrom
    self.digestInterval = digestInterval
    self.recorder = recorder
  }

  var metrics: ApplyMetrics { commands.metrics }

  var applier: Applier { commands.applier }
  var alarms: AlarmSet { commands.alarms }
  var hasWork: Bool { !waiting.isEmpty }

  /// Whether the committer still has the last generation.
  func isCommitting() throws(NodeError) -> Bool {
    try orStop { () throws(StoreError) in try applier.isCommitting }
  }

  mutating func takeLeaseChanges() -> [LeaseChange] {
    defer { leaseChanges.removeAll(keepingCapacity: true) }
    return leaseChanges
  }

  mutating func takeDigests() -> [StateDigest] {
    defer { digests.removeAll() }
    return digests
  }

  mutating func takeMemberNews() -> MemberNews {
    defer { memberNews = MemberNews() }
    return memberNews
  }

  mutating func add(_ batch: ApplyBatch) { waiting.append(batch) }

  /// Forgets what is not executed yet: a snapshot holds it already. Who waits for it learns that nobody can tell.
  mutating func dropWaiting(_ answers: inout [Answer]) {
    for batch in waiting {
      for ticket in batch.tickets.dropFirst(position) {
        if let ticket { answers.append(.failed(ticket, .requestTimedOut)) }
      }
      position = 0
    }
    waiting.removeAll()
  }

  /// Goes on with the state of an installed snapshot.
  mutating func adoptInstalled(confState: ConfState) throws(NodeError) {
    precondition(waiting.isEmpty, "nothing is executed beside an installation")
    try orStop { () throws(StoreError) in try commands.adoptInstalled() }
    self.confState = confState
    memberNews.isChanged = true
  }

  /// Executes what waits while the filling generation is below `generationBytesMax` or can be handed over.
  /// - Returns: the index of the last entry executed and published, and the configuration if it changed.
  mutating func run(
    generationBytesMax: Int, _ answers: inout [Answer]
  ) throws(NodeError) -> (applied: UInt64, changed: ConfState?)? {
    guard !waiting.isEmpty else { return nil }
    var changed: ConfState?
    var applied: UInt64?
    lastLap = stopwatch()
    while let batch = waiting.first {
      while position < batch.entries.count {
        if applier.fillingBytes >= generationBytesMax, try isCommitting() { break }
        let entry = batch.entries[position]
        if let state = try execute(entry, batch.tickets[position], &answers) { changed = state }
        if let recorder { recorder(entry) }
        applied = entry.index
        position += 1
        if entry.index.isMultiple(of: digestInterval) || entry.kind == .normal && entry.data.isEmpty {
          try takeDigest(at: entry.index)
        }
      }
      guard position == batch.entries.count else { break }
      waiting.removeFirst()
      position = 0
    }
    guard let applied else { return nil }
    applier.publish()
    return (applied, changed)
  }

  private mutating func takeDigest(at index: UInt64) throws(NodeError) {
    lastComparedIndex = index
    guard let digest = try orStop({ () throws(StoreError) in try applier.digest() }) else { return }
    if digests.count == DigestComparison.digestsMax { digests.removeFirst() }
    digests.append(digest)
  }

  /// Returns the configuration if the entry changed it.
  private mutating func execute(
    _ entry: Entry, _ ticket: Ticket?, _ answers: inout [Answer]
  ) throws(NodeError) -> ConfState? {
    switch entry.kind {
    case .confChange, .confChangeV2: return try changeConfiguration(entry, ticket, &answers)
    case .normal where entry.data.isEmpty:
      try orStop { () throws(StoreError) in try commands.applyEmpty(index: entry.index, term: entry.term) }
    case .normal:
      let command = try decode(entry, RaftCommand.init(entry:))
      let result = try orStop { () throws(StoreError) in
        try commands.apply(index: entry.index, term: entry.term, command: command)
      }
      lap(entry.index, command.operation, result)
      if let change = result.leaseChange { leaseChanges.append(change) }
      if case .clusterMemberAttributesSet = command.operation { memberNews.isChanged = true }
      guard let ticket else { return nil }
      switch result.outcome {
      case .success(let body):
        answers.append(.applied(ticket, headerRevision: result.headerRevision, body: body))
      case .failure(let error): answers.append(.failed(ticket, error))
      }
    }
    return nil
  }

  /// The commands that took too long since the last time.
  mutating func takeSlow() -> [NodeNotice] {
    defer { slow.removeAll() }
    return slow
  }

  private mutating func lap(_ index: UInt64, _ operation: RaftCommand.Operation, _ result: ApplyResult) {
    let now = stopwatch()
    let isSuccess = if case .success = result.outcome { true } else { false }
    let took = now - min(now, lastLap)
    metrics.took(took, operation, isSuccess: isSuccess, slowFrom: slowFrom)
    if took > slowFrom, slow.count < Self.slowNoticesMax {
      slow.append(.slowApply(nanoseconds: took, index: index))
    }
    lastLap = now
  }

  /// Carries out a change of members: the stored member, the stored configuration, and what Raft is to use. A change
  /// that does not fit the members there are by now is refused, by every member alike.
  private mutating func changeConfiguration(
    _ entry: Entry, _ ticket: Ticket?, _ answers: inout [Answer]
  ) throws(NodeError) -> ConfState? {
    var adopted: ConfState?
    var refusal: ClientError?
    if entry.kind == .confChange {
      let change = try decode(entry, ConfChange.init(decoding:))
      refusal = try orStop { () throws(StoreError) in try MemberChange.refusal(of: change, in: applier) }
      if refusal == nil, let next = confState.applying(change) {
        confState = next
        adopted = next
        memberNews.note(change)
        try orStop { () throws(StoreError) in
          try MemberChange.record(change, in: applier)
          try applier.putRow(table: .meta, key: confStateKey, value: next.encoded())
        }
      }
    }
    try orStop { () throws(StoreError) in try commands.applyEmpty(index: entry.index, term: entry.term) }
    if let ticket {
      memberNews.noteAnswered(entry, refusal)
      answers.append(
        refusal.map { .failed(ticket, $0) }
          ?? .applied(ticket, headerRevision: applier.revision, body: []))
    }
    return adopted
  }

  private func decode<Content>(
    _ entry: Entry, _ read: ([UInt8]) throws(ProtoError) -> Content
  ) throws(NodeError) -> Content {
    do throws(ProtoError) {
      return try read(entry.data)
    } catch {
      throw .undecodableEntry(index: entry.index, reason: "\(error)")
    }
  }
}

/// What executed entries did to the members.
struct MemberNews {
  var isChanged = false
  var removed: [UInt64] = []
  /// Promotions that were asked of this member.
  var promotions = 0
  var refusedPromotions: [ClientError] = []

  mutating func note(_ change: ConfChange) {
    isChanged = true
    if change.kind == .removeNode { removed.append(change.nodeID) }
  }

  mutating func noteAnswered(_ entry: Entry, _ refusal: ClientError?) {
    guard entry.kind == .confChange, let change = try? ConfChange(decoding: entry.data),
      ConfigChangeContext(json: change.context)?.isPromote == true
    else { return }
    if let refusal { refusedPromotions.append(refusal) } else { promotions += 1 }
  }
}

/// Runs a step of the store; its errors end the node.
func orStop<Result>(_ step: () throws(StoreError) -> Result) throws(NodeError) -> Result {
  do throws(StoreError) {
    return try step()
  } catch {
    throw .store(error)
  }
}
