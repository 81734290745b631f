/// A set of voters that decides by majority.
///
/// The empty set agrees with everything: in a joint configuration it is the half that is not there.
public struct MajorityConfiguration: Equatable, Sendable {
  /// Ascending, without duplicates.
  public private(set) var voters: [UInt64]

  public init(_ voters: [UInt64] = []) {
    self.voters = []
    for voter in voters { insert(voter) }
  }

  public var quorum: Int { voters.count / 2 + 1 }
  public var isEmpty: Bool { voters.isEmpty }

  public func contains(_ id: UInt64) -> Bool { voters.contains(id) }

  public mutating func insert(_ id: UInt64) { voters.insertSorted(id) }

  public mutating func remove(_ id: UInt64) { voters.removeAll { $0 == id } }

  /// The largest index that a majority acknowledged. `acknowledged` gives each voter's index, 0 when unknown.
  public func committedIndex(_ acknowledged: (UInt64) -> UInt64) -> UInt64 {
    switch voters.count {
    case 0: return UInt64.max
    case 1: return acknowledged(voters[0])
    default:
      var indexes: [UInt64] = []
      indexes.reserveCapacity(voters.count)
      for voter in voters { indexes.append(acknowledged(voter)) }
      indexes.sort()
      // With n voters sorted ascending, n - quorum of them may be behind.
      return indexes[voters.count - quorum]
    }
  }

  /// The state of a vote. `vote` gives each voter's answer, nil while it has not come.
  public func result(_ vote: (UInt64) -> Bool?) -> VoteResult {
    if voters.isEmpty { return .won }
    var granted = 0
    var missing = 0
    for voter in voters {
      switch vote(voter) {
      case true?: granted += 1
      case false?: break
      case nil: missing += 1
      }
    }
    if granted >= quorum { return .won }
    return granted + missing >= quorum ? .pending : .lost
  }
}

/// Two sets of voters of which each has to agree: joint consensus. Outside a change `outgoing` is empty.
public struct JointConfiguration: Equatable, Sendable {
  public var incoming: MajorityConfiguration
  public var outgoing: MajorityConfiguration

  public init(
    incoming: MajorityConfiguration = MajorityConfiguration(),
    outgoing: MajorityConfiguration = MajorityConfiguration()
  ) {
    self.incoming = incoming
    self.outgoing = outgoing
  }

  /// Voters of either half, ascending.
  public var ids: [UInt64] {
    if outgoing.isEmpty { return incoming.voters }
    return MajorityConfiguration(incoming.voters + outgoing.voters).voters
  }

  public func contains(_ id: UInt64) -> Bool { incoming.contains(id) || outgoing.contains(id) }

  /// The largest index that both halves committed.
  public func committedIndex(_ acknowledged: (UInt64) -> UInt64) -> UInt64 {
    min(incoming.committedIndex(acknowledged), outgoing.committedIndex(acknowledged))
  }

  /// Won when both halves are, lost when one is.
  public func result(_ vote: (UInt64) -> Bool?) -> VoteResult {
    switch (incoming.result(vote), outgoing.result(vote)) {
    case (.lost, _), (_, .lost): .lost
    case (.won, .won): .won
    case (.pending, _), (_, .pending): .pending
    }
  }
}

/// The state of a vote: undecided, or decided whatever the missing voters say.
public enum VoteResult: Equatable, Sendable { case pending, lost, won }

extension Array<UInt64> {
  /// Inserts into an ascending array, unless the value is there.
  mutating func insertSorted(_ value: UInt64) {
    let position = firstIndex { $0 >= value } ?? count
    if position == count || self[position] != value { insert(value, at: position) }
  }
}
