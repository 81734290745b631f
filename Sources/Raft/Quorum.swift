/// A set of voters that decides by majority.
///
/// The empty set agrees with everything: in a joint configuration it is the half that is not there.
public struct MajorityConfiguration: Equatable, Sendable {
  /// Ascending, without duplicates.
  public private(set) var voters: [UInt64]

  public init(_ voters: [UInt64]) {
    var unique: [UInt64] = []
    for voter in voters.sorted() where unique.last != voter { unique.append(voter) }
    self.voters = unique
  }

  public var quorum: Int { voters.count / 2 + 1 }

  public func contains(_ id: UInt64) -> Bool { voters.contains(id) }

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

/// The state of a vote: undecided, or decided whatever the missing voters say.
public enum VoteResult: Equatable, Sendable { case pending, lost, won }
