public import Model
internal import Raft

/// Which peers the transport reaches, and since when.
struct PeerLinks {
  /// By id, few.
  private var connected: [(peer: UInt64, sinceTick: UInt64)] = []

  mutating func set(_ peer: UInt64, isConnected: Bool, tick: UInt64) {
    let position = connected.firstIndex { $0.peer == peer }
    switch (position, isConnected) {
    case (nil, true): connected.append((peer, tick))
    case (.some(let position), false): connected.remove(at: position)
    case (nil, false), (.some, true): break
    }
  }

  /// For how many ticks the way to each peer has been open.
  func ages(tick: UInt64) -> [(peer: UInt64, ticks: UInt64)] {
    connected.map { ($0.peer, tick - $0.sinceTick) }
  }

  /// Whether the way to `peer` has been open ever since `tick`.
  func isOpen(_ peer: UInt64, since tick: UInt64) -> Bool {
    connected.contains { $0.peer == peer && $0.sinceTick <= tick }
  }
}

// Why a proposal was not answered in time, as far as this member can tell: etcd's distinctions and texts.
extension ReplicaMachine {
  /// The peers that can be reached, and for how many ticks.
  public var linkAges: [(peer: UInt64, ticks: UInt64)] { links.ages(tick: nowTick) }

  mutating func linkChanged(_ peer: UInt64, isConnected: Bool) {
    links.set(peer, isConnected: isConnected, tick: nowTick)
    if !isConnected { raft.handle(.unreachable(peer: peer), &raftEffects) }
  }

  func timeoutError(startTick: UInt64) -> ClientError {
    let lost = leaderSinceTick &- min(leaderSinceTick, UInt64(2 * configuration.raft.electionTicks))
    if startTick > lost && startTick < leaderSinceTick { return .timedOutByLeaderFailure }
    guard knownLeader != 0 else { return .requestTimedOut }
    let memberID = configuration.raft.memberID
    let isConnected =
      knownLeader == memberID
      ? raft.confState.hasQuorum(of: { $0 == memberID || links.isOpen($0, since: startTick) })
      : links.isOpen(knownLeader, since: startTick)
    return isConnected ? .requestTimedOut : .timedOutByConnection
  }
}

extension ConfState {
  /// Whether more than half of the voters fulfil a condition, in both halves of a joint configuration.
  func hasQuorum(of condition: (UInt64) -> Bool) -> Bool {
    [voters, votersOutgoing].allSatisfy { half in
      half.isEmpty || half.count(where: condition) > half.count / 2
    }
  }
}

extension ClientError {
  /// A proposal made shortly before the present leader was elected.
  public static let timedOutByLeaderFailure = ClientError(
    .unavailable, "etcdserver: request timed out, possibly due to previous leader failure")
  /// The way to the leader, or from it to a quorum, was not open all the time.
  public static let timedOutByConnection = ClientError(
    .unavailable, "etcdserver: request timed out, possibly due to connection lost")
  /// A read whose index is known: this member has not applied that much.
  public static let timedOutByApply = ClientError(
    .unavailable, "etcdserver: request timed out, waiting for the applied index took too long")
  /// Leaves etcd as Unknown: its internal error has no gRPC status.
  public static let timedOutByTransfer = ClientError(
    .unknown, "etcdserver: request timed out, leader transfer took too long")
}
