/// gRPC status codes.
public enum StatusCode: Int32, Sendable {
  case ok = 0
  case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied,
    resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable,
    dataLoss, unauthenticated
}

/// An answer that is not a success: a value, never thrown across the replicated path. Clients match the text,
/// so it is etcd's to the byte.
public struct ClientError: Error, Hashable, Sendable {
  public var code: StatusCode
  public var message: String

  public init(_ code: StatusCode, _ message: String) {
    self.code = code
    self.message = message
  }
}

extension ClientError {
  public static let keyNotProvided = ClientError(.invalidArgument, "etcdserver: key is not provided")
  public static let keyNotFound = ClientError(.invalidArgument, "etcdserver: key not found")
  public static let valueProvided = ClientError(.invalidArgument, "etcdserver: value is provided")
  public static let leaseProvided = ClientError(.invalidArgument, "etcdserver: lease is provided")
  public static let tooManyOperations = ClientError(
    .invalidArgument, "etcdserver: too many operations in txn request")
  public static let duplicateKey = ClientError(
    .invalidArgument, "etcdserver: duplicate key given in txn request")
  public static let invalidClientAPIVersion = ClientError(
    .invalidArgument, "etcdserver: invalid client api version")
  public static let invalidSortOption = ClientError(.invalidArgument, "etcdserver: invalid sort option")
  public static let requestTooLarge = ClientError(.invalidArgument, "etcdserver: request is too large")
  public static let compacted = ClientError(
    .outOfRange, "etcdserver: mvcc: required revision has been compacted")
  public static let futureRevision = ClientError(
    .outOfRange, "etcdserver: mvcc: required revision is a future revision")
  public static let noSpace = ClientError(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
  /// Leaves etcd as Unknown: its internal error has no gRPC status.
  public static let tooManyRequests = ClientError(.unknown, "etcdserver: too many requests")
  public static let leaseNotFound = ClientError(.notFound, "etcdserver: requested lease not found")
  public static let leaseExists = ClientError(.failedPrecondition, "etcdserver: lease already exists")
  public static let leaseTTLTooLarge = ClientError(.outOfRange, "etcdserver: too large lease TTL")
  public static let noLeader = ClientError(.unavailable, "etcdserver: no leader")
  public static let leaderChanged = ClientError(.unavailable, "etcdserver: leader changed")
  public static let serverStopped = ClientError(.unavailable, "etcdserver: server stopped")
  public static let requestTimedOut = ClientError(.unavailable, "etcdserver: request timed out")
  public static let corruptCluster = ClientError(.dataLoss, "etcdserver: corrupt cluster")
  public static let memberNotFound = ClientError(.notFound, "etcdserver: member not found")
  public static let peerURLExists = ClientError(
    .failedPrecondition, "etcdserver: Peer URLs already exists")
  public static let memberExists = ClientError(.failedPrecondition, "etcdserver: member ID already exist")
  /// Leaves etcd as Unknown: its internal error has no gRPC status.
  public static let notEnoughStartedMembers = ClientError(
    .unknown, "etcdserver: re-configuration failed due to not enough started members")
  public static let unhealthyCluster = ClientError(.unavailable, "etcdserver: unhealthy cluster")
  public static let memberNotLearner = ClientError(
    .failedPrecondition, "etcdserver: can only promote a learner member")
  public static let learnerNotReady = ClientError(
    .failedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader")
  public static let tooManyLearners = ClientError(
    .failedPrecondition, "etcdserver: too many learner members in cluster")
  public static let learnerUnsupported = ClientError(
    .failedPrecondition, "etcdserver: rpc not supported for learner")
  public static let notLeader = ClientError(.failedPrecondition, "etcdserver: not leader")
  public static let badLeaderTransferee = ClientError(
    .failedPrecondition, "etcdserver: bad leader transferee")
  public static let rangeStreamSort = ClientError(
    .unimplemented, "RangeStream does not support custom sort orders")
  public static let rangeStreamFilters = ClientError(
    .unimplemented, "RangeStream does not support revision filters")
}
