import Model
import Primitives
import Replica
import Store
import WriteAheadLog

/// Everything that clients and observers saw, and the log as the disk told it; at the end the log is replayed through
/// the naive model and every observation is compared with it.
struct History {
  enum Request {
    case write(RaftCommand.Operation)
    case read(RangeRequest)
  }

  private enum Outcome {
    case outstanding
    /// The member crashed, or the request timed out: executed or not.
    case unknown
    case applied(ApplyResult)
    /// Refused before it was proposed: it must never be executed.
    case refused
    case read
  }

  private struct Record {
    var request: Request
    var outcome = Outcome.outstanding
    /// Positions in the order of all submissions and answers.
    var submitted: Int
    var answered: Int?
    /// What a linearizable read saw.
    var readIndex: UInt64?
    /// The highest revision that any client had seen when this was submitted.
    var revisionFloor: Int64
    /// Whom it was sent to.
    var member: UInt64
  }

  private struct ReadSeen {
    var ticket: UInt64
    var range: RangeRequest
    var index: UInt64
    var revision: Int64
    var body: [UInt8]
  }

  private struct HashSeen {
    var index: UInt64
    var revision: Int64
    var hash: UInt32
  }

  /// Whether the member has published itself since its last start.
  var isServing = false
  /// Members may lag: only a linearizable read shows the newest state.
  var mayBeStale = false
  /// The highest index the member took for committed.
  var commitIndex: UInt64 = 0
  var failure: SimulationFailure?
  private var records: [Record] = []
  private var order = 0
  private var reads: [ReadSeen] = []
  private var hashes: [HashSeen] = []
  private var entries: [Entry] = []
  private var highestRevision: Int64 = 0

  var answeredWrites: Int {
    records.count { if case .applied = $0.outcome { true } else { false } }
  }
  var answeredReads: Int { reads.count }
  var lastLogIndex: UInt64 { UInt64(entries.count) }

  mutating func submit(_ request: Request, client: Int, member: UInt64 = 0) -> UInt64 {
    order += 1
    records.append(
      Record(request: request, submitted: order, revisionFloor: highestRevision, member: member))
    return UInt64(records.count - 1)
  }

  var submitted: Int { records.count }

  func request(_ ticket: UInt64) -> Request { records[Int(ticket)].request }
  func member(of ticket: UInt64) -> UInt64 { records[Int(ticket)].member }

  mutating func answer(write ticket: UInt64, _ result: ApplyResult) throws {
    try close(ticket, .applied(result))
    try see(revision: result.headerRevision, notBelow: records[Int(ticket)].revisionFloor)
  }

  mutating func answer(
    read ticket: UInt64, _ range: RangeRequest, at index: UInt64, revision: Int64, body: [UInt8],
    isLinearizable: Bool
  ) throws {
    try close(ticket, .read)
    if mayBeStale && !isLinearizable {
      highestRevision = max(highestRevision, revision)
    } else {
      try see(revision: revision, notBelow: records[Int(ticket)].revisionFloor)
    }
    if isLinearizable { records[Int(ticket)].readIndex = index }
    reads.append(ReadSeen(ticket: ticket, range: range, index: index, revision: revision, body: body))
  }

  mutating func fail(_ ticket: UInt64, _ error: ClientError) throws {
    switch error {
    case .requestTimedOut, .timedOutByLeaderFailure, .timedOutByConnection, .timedOutByApply, .serverStopped,
      .leaderChanged:
      try close(ticket, .unknown)
    case .tooManyRequests, .requestTooLarge: try close(ticket, .refused)
    default: try close(ticket, .applied(ApplyResult(headerRevision: -1, outcome: .failure(error))))
    }
  }

  private mutating func close(_ ticket: UInt64, _ outcome: Outcome) throws {
    guard case .outstanding = records[Int(ticket)].outcome else {
      throw SimulationFailure(description: "ticket \(ticket) was answered twice")
    }
    order += 1
    records[Int(ticket)].outcome = outcome
    records[Int(ticket)].answered = order
  }

  /// The member is gone: nobody will answer what was outstanding.
  mutating func loseOutstanding(of member: UInt64 = 0) {
    isServing = false
    for position in records.indices where records[position].member == member {
      if case .outstanding = records[position].outcome { records[position].outcome = .unknown }
    }
  }

  /// A view taken now.
  mutating func see(revision: Int64) throws { try see(revision: revision, notBelow: highestRevision) }

  /// What somebody saw is seen by all who ask later, over crashes too.
  private mutating func see(revision: Int64, notBelow floor: Int64) throws {
    guard revision >= floor else {
      throw SimulationFailure(description: "revision \(revision) after \(floor)")
    }
    highestRevision = max(highestRevision, revision)
  }

  mutating func noteHash(at index: UInt64, revision: Int64, hash: UInt32) {
    hashes.append(HashSeen(index: index, revision: revision, hash: hash))
  }

  /// Some member executed an entry: all execute the same one at its index, whatever crashed meanwhile.
  mutating func applied(_ entry: Entry) throws {
    if entry.index <= UInt64(entries.count) {
      guard entries[Int(entry.index) - 1] == entry else {
        throw SimulationFailure(description: "entry \(entry.index) is not the same on two members")
      }
    } else {
      guard entry.index == UInt64(entries.count) + 1 else {
        throw SimulationFailure(description: "entry \(entry.index) was executed behind \(entries.count)")
      }
      entries.append(entry)
    }
  }

  var outstanding: Int {
    records.count { if case .outstanding = $0.outcome { true } else { false } }
  }

  /// Takes in what the log holds now. What was committed must not have changed; the rest may have gone.
  mutating func capture(_ log: RecoveredLog) throws {
    guard log.lastIndex >= commitIndex else {
      throw SimulationFailure(description: "log ends at \(log.lastIndex), \(commitIndex) was committed")
    }
    guard log.firstIndex <= UInt64(entries.count) + 1 else {
      throw SimulationFailure(description: "log begins at \(log.firstIndex), seen so far \(entries.count)")
    }
    let overlap = entries.dropFirst(Int(log.firstIndex) - 1)
    for (known, found) in zip(overlap, log.entries) where known != found && known.index <= commitIndex {
      throw SimulationFailure(description: "committed entry \(known.index) changed")
    }
    entries.removeLast(entries.count - Int(log.firstIndex) + 1)
    entries.append(contentsOf: log.entries)
  }
}

// MARK: - The final check

extension History {
  /// The keys of each lease, in byte order, as the log has it.
  func leasedKeys() throws -> [Int64: [[UInt8]]] {
    var model = NaiveStore()
    for entry in entries where entry.kind == .normal && !entry.data.isEmpty {
      _ = model.apply(try RaftCommand(decoding: entry.data).operation)
    }
    return model.leasedKeys
  }
}

extension History {
  /// Replays the log through the model beside everything seen.
  func check(appliedIndex: UInt64, revision: Int64) throws {
    guard appliedIndex == UInt64(entries.count) else {
      throw SimulationFailure(description: "applied \(appliedIndex) of \(entries.count) entries")
    }
    var model = NaiveStore()
    var indexes: [Int: UInt64] = [:]
    var reads = self.reads.sorted { ($0.index, $0.ticket) < ($1.index, $1.ticket) }[...]
    var hashes = self.hashes.sorted { $0.index < $1.index }[...]
    for entry in entries {
      if entry.kind == .normal, !entry.data.isEmpty {
        let command = try RaftCommand(decoding: entry.data)
        let result = model.apply(command.operation)
        if let ticket = Int(command.username) {
          guard indexes.updateValue(entry.index, forKey: ticket) == nil else {
            throw SimulationFailure(description: "ticket \(ticket) is in the log twice")
          }
          try compare(ticket, result)
        }
      }
      while let read = reads.first, read.index == entry.index {
        reads.removeFirst()
        guard read.revision == model.revision, read.body == model.range(read.range) else {
          throw SimulationFailure(description: "read \(read.ticket) at index \(read.index) saw another state")
        }
      }
      while let seen = hashes.first, seen.index == entry.index {
        hashes.removeFirst()
        guard seen.hash == model.hash(at: seen.revision) else {
          throw SimulationFailure(description: "HashKV(\(seen.revision)) at index \(seen.index) differs")
        }
      }
    }
    guard reads.isEmpty, hashes.isEmpty else {
      throw SimulationFailure(description: "an observation of an index that the log does not have")
    }
    guard model.revision == revision else {
      throw SimulationFailure(description: "revision \(revision), the model has \(model.revision)")
    }
    try checkOrder(indexes)
  }

  private func compare(_ ticket: Int, _ result: ApplyResult?) throws {
    switch records[ticket].outcome {
    case .refused: throw SimulationFailure(description: "refused request \(ticket) was executed")
    case .outstanding:
      throw SimulationFailure(description: "request \(ticket) was executed and never answered")
    case .unknown, .read: return
    case .applied(let seen):
      guard seen.outcome == result?.outcome,
        seen.headerRevision == -1 || seen.headerRevision == result?.headerRevision
      else {
        throw SimulationFailure(
          description: "ticket \(ticket): answered \(seen), the model says \(String(describing: result))")
      }
    }
  }

  /// What was answered is in the log, and before everything that was asked for after the answer.
  private func checkOrder(_ indexes: [Int: UInt64]) throws {
    var moments: [(position: Int, ticket: Int, isAnswer: Bool)] = []
    for (ticket, record) in records.enumerated() {
      moments.append((record.submitted, ticket, false))
      if let answered = record.answered { moments.append((answered, ticket, true)) }
    }
    var answeredUpTo: UInt64 = 0
    var floors = [UInt64](repeating: 0, count: records.count)
    for moment in moments.sorted(by: { $0.position < $1.position }) {
      let record = records[moment.ticket]
      if !moment.isAnswer {
        floors[moment.ticket] = answeredUpTo
        continue
      }
      if case .applied = record.outcome {
        guard let index = indexes[moment.ticket] else {
          throw SimulationFailure(description: "acknowledged write \(moment.ticket) is lost")
        }
        guard index > floors[moment.ticket] else {
          throw SimulationFailure(description: "write \(moment.ticket) went before one answered earlier")
        }
        answeredUpTo = max(answeredUpTo, index)
      }
      if let index = record.readIndex {
        guard index >= floors[moment.ticket] else {
          throw SimulationFailure(description: "linearizable read \(moment.ticket) is stale")
        }
        answeredUpTo = max(answeredUpTo, index)
      }
    }
  }
}
