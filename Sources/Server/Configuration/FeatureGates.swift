internal import Model

/// etcd's feature gates at this API level, with the values that describe this server.
public struct FeatureGates: Sendable, Equatable {
  public enum Stage: String, Sendable { case alpha = "ALPHA", beta = "BETA" }

  /// One row of the table.
  public struct Gate: Sendable {
    public let name: String
    public let stage: Stage
    public let isEnabledByDefault: Bool
    let support: FlagDefinition.Support
  }

  public static let all: [Gate] = [
    // Members compare all they hold, at equal applied indexes, whatever is asked for.
    Gate("CompactHashCheck", .alpha, false, .withoutEffect),
    Gate("FastLeaseKeepAlive", .beta, true, .notBuilt("renewals that wait for the log")),
    Gate("InitialCorruptCheck", .alpha, false, .effective),
    Gate("LeaseCheckpoint", .alpha, false, .notBuilt("lease checkpoints")),
    Gate("LeaseCheckpointPersist", .alpha, false, .notBuilt("lease checkpoints")),
    Gate("PriorityRequest", .alpha, false, .notBuilt("priority of requests")),
    Gate("SetMemberLocalAddr", .alpha, false, .notBuilt("choosing the local address of peer connections")),
    Gate("StopGRPCServiceOnDefrag", .alpha, false, .effective),
    // The store's views need no shared buffer, whatever is asked for.
    Gate("TxnModeWriteWithSharedBuffer", .beta, true, .withoutEffect),
  ]
  private static let allAlpha = "AllAlpha"
  private static let allBeta = "AllBeta"

  private var enabled: [String: Bool] = [:]

  /// All gates as they are by default.
  public init() {}

  /// Whether a gate of the table is enabled.
  public func isEnabled(_ name: String) -> Bool {
    enabled[name] ?? Self.all.contains { $0.name == name && $0.isEnabledByDefault }
  }

  /// Every gate, in the order of names, with its stage in etcd's words.
  var states: [(name: String, stage: String, isEnabled: Bool)] {
    Self.all.map { ($0.name, $0.stage.rawValue, isEnabled($0.name)) }
  }

  /// The health service says NOT_SERVING while a defragmentation runs, so that clients go elsewhere.
  public var stopServiceOnDefragment: Bool { isEnabled("StopGRPCServiceOnDefrag") }

  /// A member that ran before compares its data with that of the others before it takes part.
  public var checksBeforeStart: Bool { isEnabled("InitialCorruptCheck") }

  /// Reads `Name=bool,...`, with etcd's words for what is wrong with it.
  init(parsing text: String) throws(ValueSyntaxError) {
    for part in text.split(separator: ",") {
      let equals = part.firstIndex(of: "=") ?? part.endIndex
      let name = String(part[..<equals]).trimmingBlanks()
      guard equals < part.endIndex else { throw ValueSyntaxError("missing bool value for \(name)") }
      let value = String(part[part.index(after: equals)...]).trimmingBlanks()
      guard let isEnabled = try? GoValueSyntax.boolean(value) else {
        throw ValueSyntaxError(
          "invalid value of \(name)=\(value), err: strconv.ParseBool: parsing "
            + "\(GoValueSyntax.quoted(value)): invalid syntax")
      }
      guard Self.all.contains(where: { $0.name == name }) || name == Self.allAlpha || name == Self.allBeta
      else { throw ValueSyntaxError("unrecognized feature gate: \(name)") }
      enabled[name] = isEnabled
    }
    // A gate that is named keeps its own value.
    for gate in Self.all where enabled[gate.name] == nil {
      if let value = enabled[gate.stage == .alpha ? Self.allAlpha : Self.allBeta] {
        enabled[gate.name] = value
      }
    }
  }

  /// etcd's rule between gates, and the refusal by name of what is not built.
  func check() throws(ConfigurationError) {
    if isEnabled("LeaseCheckpointPersist"), !isEnabled("LeaseCheckpoint") {
      throw .invalid(
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
    }
    for gate in Self.all {
      guard case .notBuilt(let feature) = gate.support, isEnabled(gate.name) != gate.isEnabledByDefault
      else { continue }
      throw .notBuilt(flag: "--feature-gates=\(gate.name)=\(isEnabled(gate.name))", feature: feature)
    }
  }
}

extension FeatureGates.Gate {
  fileprivate init(
    _ name: String, _ stage: FeatureGates.Stage, _ isEnabledByDefault: Bool,
    _ support: FlagDefinition.Support
  ) {
    self.init(name: name, stage: stage, isEnabledByDefault: isEnabledByDefault, support: support)
  }
}
