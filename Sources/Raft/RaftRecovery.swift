public import Model

/// The state a `RaftMachine` starts from: what the log and the store hold after a start or a crash.
public struct RaftRecovery: Sendable {
  public var hardState: HardState
  /// Everything up to here, and its term, is in the store and may be missing from `entries`.
  public var compactedIndex: UInt64
  public var compactedTerm: UInt64
  /// Durable entries, contiguous from `compactedIndex + 1`.
  public var entries: [Entry]
  /// The configuration as of `appliedIndex`.
  public var confState: ConfState
  /// The store's applied index, at least `compactedIndex` and at most the last entry's index.
  public var appliedIndex: UInt64

  /// A member that never ran.
  public init() {
    self.init(
      hardState: HardState(), compactedIndex: 0, compactedTerm: 0, entries: [], confState: ConfState(),
      appliedIndex: 0)
  }

  public init(
    hardState: HardState, compactedIndex: UInt64, compactedTerm: UInt64, entries: [Entry],
    confState: ConfState, appliedIndex: UInt64
  ) {
    self.hardState = hardState
    self.compactedIndex = compactedIndex
    self.compactedTerm = compactedTerm
    self.entries = entries
    self.confState = confState
    self.appliedIndex = appliedIndex
  }
}
