public import Metrics
public import Model

/// What applied commands did and how long they took. Written by the apply thread, read by any.
public final class ApplyMetrics: Sendable {
  public let ranges = Counter()
  public let puts = Counter()
  public let deletes = Counter()
  /// Commands of more than one operation.
  public let transactions = Counter()
  /// Bytes of keys and values that were put.
  public let putBytes = Counter()
  /// Keys that came into being, and keys that went.
  public let keysCreated = Counter()
  public let keysDeleted = Counter()
  public let leasesGranted = Counter()
  public let leasesRevoked = Counter()
  public let leaseSeconds = Histogram(.doubling(from: 1, count: 24, unitsPerOne: 1))
  /// Commands that took longer than the limit for a warning.
  public let slow = Counter()

  public static let durationShape = HistogramShape.seconds(from: 0.0001, count: 20)
  private let succeeded = AppliedOperation.allCases.map { _ in Histogram(durationShape) }
  private let failed = AppliedOperation.allCases.map { _ in Histogram(durationShape) }

  public init() {}

  public func durations(of operation: AppliedOperation, success: Bool) -> Histogram {
    success ? succeeded[operation.rawValue] : failed[operation.rawValue]
  }

  /// A command took so long.
  public func took(
    _ nanoseconds: UInt64, _ operation: RaftCommand.Operation, isSuccess: Bool, slowFrom limit: UInt64
  ) {
    durations(of: AppliedOperation(operation), success: isSuccess).observe(nanoseconds)
    if nanoseconds > limit { slow.add() }
  }

  func count(_ tally: OperationTally) {
    if tally.ranges > 0 { ranges.add(tally.ranges) }
    if tally.puts > 0 {
      puts.add(tally.puts)
      putBytes.add(tally.putBytes)
    }
    if tally.deletes > 0 { deletes.add(tally.deletes) }
    if tally.ranges + tally.puts + tally.deletes > 1 { transactions.add() }
    if tally.keysCreated > 0 { keysCreated.add(tally.keysCreated) }
    if tally.keysDeleted > 0 { keysDeleted.add(tally.keysDeleted) }
  }

  func count(_ change: LeaseChange) {
    switch change {
    case .granted(_, let seconds):
      leasesGranted.add()
      leaseSeconds.observe(UInt64(clamping: seconds))
    case .revoked: leasesRevoked.add()
    }
  }
}

/// The operations of one command.
struct OperationTally {
  var ranges: UInt64 = 0
  var puts: UInt64 = 0
  var putBytes: UInt64 = 0
  var deletes: UInt64 = 0
  var keysCreated: UInt64 = 0
  var keysDeleted: UInt64 = 0
}

/// What metrics call an applied command, in etcd's words.
public enum AppliedOperation: Int, CaseIterable, Sendable {
  case range, put, deleteRange, transaction, compaction, leaseGrant, leaseRevoke, leaseCheckpoint, alarm
  case clusterVersionSet, downgradeInfoSet, clusterMemberAttributesSet, unknown

  public var name: String {
    switch self {
    case .range: "Range"
    case .put: "Put"
    case .deleteRange: "DeleteRange"
    case .transaction: "Txn"
    case .compaction: "Compaction"
    case .leaseGrant: "LeaseGrant"
    case .leaseRevoke: "LeaseRevoke"
    case .leaseCheckpoint: "LeaseCheckpoint"
    case .alarm: "Alarm"
    case .clusterVersionSet: "ClusterVersionSet"
    case .downgradeInfoSet: "DowngradeInfoSet"
    case .clusterMemberAttributesSet: "ClusterMemberAttrSet"
    case .unknown: "unknown"
    }
  }

  init(_ operation: RaftCommand.Operation) {
    switch operation {
    case .range: self = .range
    case .put: self = .put
    case .deleteRange: self = .deleteRange
    case .transaction: self = .transaction
    case .compaction: self = .compaction
    case .leaseGrant: self = .leaseGrant
    case .leaseRevoke: self = .leaseRevoke
    case .leaseCheckpoint: self = .leaseCheckpoint
    case .alarm: self = .alarm
    case .clusterVersionSet: self = .clusterVersionSet
    case .downgradeInfoSet: self = .downgradeInfoSet
    case .clusterMemberAttributesSet: self = .clusterMemberAttributesSet
    case .none, .unsupported: self = .unknown
    }
  }
}
