/// What a member tells the cluster after each start: its name and client URLs, and, if it is alone, the cluster's
/// version. Proposed through the log like any command, without a client; asked again when nothing comes of it.
struct Publication {
  enum Step: Equatable {
    case due
    /// In the log, or lost; proposed anew at `retryTick`.
    case proposed(id: UInt64, retryTick: UInt64)
    case committed(index: UInt64)
    case done
  }

  var attributes = Step.due
  var clusterVersion: Step
  private(set) var isReported = false

  init(isClusterVersionKnown: Bool) {
    clusterVersion = isClusterVersionKnown ? .done : .due
  }

  var isDone: Bool { attributes == .done && clusterVersion == .done }

  /// Whether an entry of the log may be one of these.
  var isAwaited: Bool {
    switch (attributes, clusterVersion) {
    case (.proposed, _), (_, .proposed): true
    case (.due, _), (.committed, _), (.done, _): false
    }
  }

  mutating func committed(id: UInt64, index: UInt64) {
    Self.note(&attributes, id: id, index: index)
    Self.note(&clusterVersion, id: id, index: index)
  }

  mutating func applied(index: UInt64) {
    if case .committed(let at) = attributes, at <= index { attributes = .done }
    if case .committed(let at) = clusterVersion, at <= index { clusterVersion = .done }
  }

  /// True once, when everything is told. With other members, the version is no business of this one's start.
  mutating func report(isAlone: Bool) -> Bool {
    guard !isReported, attributes == .done, clusterVersion == .done || !isAlone else { return false }
    isReported = true
    return true
  }

  static func isDue(_ step: Step, tick: UInt64) -> Bool {
    switch step {
    case .due: true
    case .proposed(_, let retryTick): retryTick <= tick
    case .committed, .done: false
    }
  }

  private static func note(_ step: inout Step, id: UInt64, index: UInt64) {
    if case .proposed(id, _) = step { step = .committed(index: index) }
  }
}
