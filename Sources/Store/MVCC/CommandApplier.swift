public import Model
import Primitives

/// What a command did, for the client that waits for it.
public struct ApplyResult: Hashable, Sendable {
  /// The response header's revision.
  public var headerRevision: Int64
  /// The encoded response without its header, or why there is none.
  public var outcome: Result<[UInt8], ClientError>
  /// What it did to the leases, for whoever watches over their time.
  public var leaseChange: LeaseChange?

  public init(
    headerRevision: Int64, outcome: Result<[UInt8], ClientError>, leaseChange: LeaseChange? = nil
  ) {
    self.headerRevision = headerRevision
    self.outcome = outcome
    self.leaseChange = leaseChange
  }
}

/// Executes committed commands, one after the other, on the apply thread.
///
/// Total and deterministic: what it does follows from the commands alone, never from a clock, a setting of this
/// member or how far commits and compaction have come; and any decoded command, whoever wrote it, ends in a
/// result. Only operating errors are thrown; after one the process has to stop and replay.
public struct CommandApplier {
  public let applier: Applier
  /// The alarms raised by now.
  public internal(set) var alarms: AlarmSet
  /// `--quota-backend-bytes`; nil for no limit. A command that passes it is executed all the same, because what is
  /// executed must not follow from this member's settings; only its client is told that space is exceeded.
  let quotaBytes: Int64?
  /// The revision before the current command.
  var begin: Int64
  /// Changes made by the current command: the next one's sub revision.
  var changes: Int64 = 0
  public let metrics = ApplyMetrics()
  var tally = OperationTally()

  public init(_ applier: Applier, quotaBytes: Int64? = nil) throws(StoreError) {
    self.applier = applier
    self.quotaBytes = quotaBytes
    alarms = try applier.alarms()
    begin = applier.revision
  }

  /// Executes the command of log entry `index` and ends the entry. The caller publishes.
  public mutating func apply(
    index: UInt64, term: UInt64, command: RaftCommand
  ) throws(StoreError) -> ApplyResult {
    begin = applier.revision
    changes = 0
    tally = OperationTally()
    var result: ApplyResult
    if !alarms.isEmpty, let refusal = alarms.refusal(of: command.operation) {
      result = failure(refusal)
    } else {
      let hadRoom = applier.hasRoom(for: command.operation.quotaCost, quotaBytes: quotaBytes)
      result = try execute(command.operation)
      if !hadRoom, case .success = result.outcome { result = failure(.noSpace) }
    }
    try applier.finishEntry(index: index, term: term)
    metrics.count(tally)
    if let change = result.leaseChange { metrics.count(change) }
    return result
  }

  /// Ends an entry that carries no command, as a new leader's first one.
  public mutating func applyEmpty(index: UInt64, term: UInt64) throws(StoreError) {
    try applier.finishEntry(index: index, term: term)
  }

  private mutating func execute(_ operation: RaftCommand.Operation) throws(StoreError) -> ApplyResult {
    switch operation {
    case .range(let request): return try range(request)
    case .put(let request): return try put(request)
    case .deleteRange(let request):
      var body = ProtoWriter()
      try deleteRange(request, body: &body)
      return success(body)
    case .transaction(let request): return try transaction(request)
    case .compaction(let request): return compact(request)
    case .leaseGrant(let grant): return try grantLease(grant)
    case .leaseRevoke(let id): return try revokeLease(id)
    case .leaseCheckpoint(let checkpoints): return try checkpointLeases(checkpoints)
    case .alarm(let request): return try alarm(request)
    case .clusterVersionSet(let version):
      try applier.setClusterVersion(version)
      return success()
    case .downgradeInfoSet(let info):
      try applier.setDowngrade(info)
      return success()
    case .clusterMemberAttributesSet(let attributes):
      try applier.setAttributes(attributes)
      return success()
    case .none, .unsupported:
      return failure(.unknownMethod)
    }
  }

  // MARK: The state inside the current command

  /// The newest revision the command sees: its own, once it has changed anything.
  var current: Int64 { changes == 0 ? begin : begin + 1 }
  var point: ReadPoint { ReadPoint(revision: current, compactRevision: applier.compactRevision) }
  /// The revision of the command's changes. A revision is spent only by a log entry, so it cannot overflow.
  var main: Int64 { begin + 1 }

  // MARK: Results

  func success(_ body: ProtoWriter = ProtoWriter()) -> ApplyResult {
    ApplyResult(headerRevision: current, outcome: .success(body.bytes))
  }

  func failure(_ error: ClientError) -> ApplyResult {
    ApplyResult(headerRevision: current, outcome: .failure(error))
  }
}

extension ClientError {
  /// An operation that this version does not execute. It changes nothing on any member.
  static let unknownMethod = ClientError(.unknown, "etcdserver: unknown method")
}
