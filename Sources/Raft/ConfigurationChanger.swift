public import Model

/// Why a change of the configuration is refused. The text is etcd's.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

/// A configuration together with what a leader knows about each of its members, and the rules of how one becomes
/// the next (Ongaro's dissertation, 4.3). A pure function of the configuration and the change, the same on every
/// member; a refused change leaves nothing behind.
public struct ConfigurationChanger: Sendable {
  public private(set) var configuration: ClusterConfiguration
  private(set) var progress: ProgressMap
  /// What a new member is probed with.
  public var lastIndex: UInt64
  let inflightLimits: InflightLimits

  /// An empty configuration.
  public init(lastIndex: UInt64) {
    self.init(
      configuration: ClusterConfiguration(), progress: ProgressMap(), lastIndex: lastIndex,
      inflightLimits: InflightLimits(messages: 1, bytes: .max))
  }

  init(
    configuration: ClusterConfiguration, progress: ProgressMap, lastIndex: UInt64,
    inflightLimits: InflightLimits
  ) {
    self.configuration = configuration
    self.progress = progress
    self.lastIndex = lastIndex
    self.inflightLimits = inflightLimits
  }

  /// Each member's progress as etcd prints it, in the order of ids: `1: StateProbe match=0 next=1`.
  public var progressDescription: String {
    progress.map { "\($0.id): \($0)\n" }.joined()
  }

  /// Carries out a change in whichever way it asks for.
  public mutating func apply(_ change: ConfChangeV2) throws(ConfigurationError) {
    if change.leavesJoint { return try leaveJoint() }
    if change.usesJoint { return try enterJoint(autoLeave: change.autoLeave, change.changes) }
    try simple(change.changes)
  }

  /// Changes that alter the voters by at most one, without a joint configuration.
  public mutating func simple(_ changes: [ConfChangeSingle]) throws(ConfigurationError) {
    if configuration.isJoint {
      throw ConfigurationError("can't apply simple config change in joint config")
    }
    var next = self
    try next.carryOut(changes)
    let before = configuration.voters.incoming
    let after = next.configuration.voters.incoming
    let changed =
      before.voters.filter { !after.contains($0) }.count + after.voters.filter { !before.contains($0) }.count
    if changed > 1 {
      throw ConfigurationError("more than one voter changed without entering joint config")
    }
    try next.check()
    self = next
  }

  /// Keeps the voters of now as the outgoing half and changes the incoming one.
  public mutating func enterJoint(
    autoLeave: Bool, _ changes: [ConfChangeSingle]
  ) throws(ConfigurationError) {
    if configuration.isJoint { throw ConfigurationError("config is already joint") }
    // Members may be added to an empty configuration, for bootstrap; but it has nothing to be joined with.
    if configuration.voters.incoming.isEmpty {
      throw ConfigurationError("can't make a zero-voter config joint")
    }
    var next = self
    next.configuration.voters.outgoing = configuration.voters.incoming
    try next.carryOut(changes)
    next.configuration.autoLeave = autoLeave
    try next.check()
    self = next
  }

  /// Drops the outgoing half. Learners that were held back by it become learners.
  public mutating func leaveJoint() throws(ConfigurationError) {
    if !configuration.isJoint { throw ConfigurationError("can't leave a non-joint config") }
    var next = self
    for id in configuration.learnersNext {
      next.configuration.learners.insertSorted(id)
      next.progress.update(id) { $0.isLearner = true }
    }
    next.configuration.learnersNext = []
    for id in configuration.voters.outgoing.voters {
      let stays = next.configuration.voters.incoming.contains(id) || next.configuration.learners.contains(id)
      if !stays { next.progress.remove(id) }
    }
    next.configuration.voters.outgoing = MajorityConfiguration()
    next.configuration.autoLeave = false
    try next.check()
    self = next
  }

  /// Takes a whole configuration in, as a snapshot or the store has it; progress of those that stay is kept.
  mutating func restore(_ state: ConfState) throws(ConfigurationError) {
    var next = self
    next.configuration = ClusterConfiguration(state)
    next.progress = ProgressMap()
    for id in next.configuration.ids {
      let isLearner = next.configuration.learners.contains(id)
      var known = progress[id] ?? newProgress(id, isLearner: isLearner)
      known.isLearner = isLearner
      next.progress.insert(known)
    }
    try next.check()
    self = next
  }
}

// MARK: - Single steps

extension ConfigurationChanger {
  private mutating func carryOut(_ changes: [ConfChangeSingle]) throws(ConfigurationError) {
    // etcd sets the id to zero when it decides, after the change is in the log, not to carry it out.
    for change in changes where change.nodeID != 0 {
      switch change.kind {
      case .addNode: makeVoter(change.nodeID)
      case .addLearnerNode: makeLearner(change.nodeID)
      case .removeNode: remove(change.nodeID)
      case .updateNode: break
      }
    }
    if configuration.voters.incoming.isEmpty { throw ConfigurationError("removed all voters") }
  }

  private mutating func makeVoter(_ id: UInt64) {
    if progress[id] == nil { progress.insert(newProgress(id, isLearner: false)) }
    progress.update(id) { $0.isLearner = false }
    configuration.learners.removeAll { $0 == id }
    configuration.learnersNext.removeAll { $0 == id }
    configuration.voters.incoming.insert(id)
  }

  /// A voter of the outgoing half waits in `learnersNext`: nobody is voter and learner at once.
  private mutating func makeLearner(_ id: UInt64) {
    guard var known = progress[id] else {
      progress.insert(newProgress(id, isLearner: true))
      configuration.learners.insertSorted(id)
      return
    }
    if known.isLearner { return }
    remove(id)
    if configuration.voters.outgoing.contains(id) {
      configuration.learnersNext.insertSorted(id)
    } else {
      known.isLearner = true
      configuration.learners.insertSorted(id)
    }
    progress.insert(known)
  }

  private mutating func remove(_ id: UInt64) {
    configuration.voters.incoming.remove(id)
    configuration.learners.removeAll { $0 == id }
    configuration.learnersNext.removeAll { $0 == id }
    // The outgoing half still needs to know about its voters.
    if !configuration.voters.outgoing.contains(id) { progress.remove(id) }
  }

  private func newProgress(_ id: UInt64, isLearner: Bool) -> Progress {
    var new = Progress(id: id, match: 0, next: max(lastIndex, 1), limits: inflightLimits)
    new.isLearner = isLearner
    // A new member had no chance to be heard of yet; without this, the quorum check could count it as lost.
    new.isRecentlyActive = true
    return new
  }

  private func check() throws(ConfigurationError) {
    let configuration = configuration
    for id in configuration.learnersNext {
      if !configuration.voters.outgoing.contains(id) {
        throw ConfigurationError("\(id) is in LearnersNext, but not Voters[1]")
      }
    }
    for id in configuration.learners {
      if configuration.voters.outgoing.contains(id) {
        throw ConfigurationError("\(id) is in Learners and Voters[1]")
      }
      if configuration.voters.incoming.contains(id) {
        throw ConfigurationError("\(id) is in Learners and Voters[0]")
      }
    }
    if !configuration.isJoint && configuration.autoLeave {
      throw ConfigurationError("AutoLeave must be false when not joint")
    }
    precondition(configuration.ids == progress.map(\.id), "progress is kept of exactly the members")
    precondition(progress.allSatisfy { $0.isLearner == configuration.learners.contains($0.id) })
  }
}

extension ConfState {
  /// The configuration after `change`; nil if the rules refuse it.
  public func applying(_ change: ConfChangeV2) -> ConfState? {
    var changer = ConfigurationChanger(lastIndex: 0)
    do throws(ConfigurationError) {
      try changer.restore(self)
      try changer.apply(change)
      return changer.configuration.confState
    } catch {
      return nil
    }
  }

  /// The configuration after `change`; nil if the rules refuse it.
  public func applying(_ change: ConfChange) -> ConfState? { applying(change.asV2) }
}
