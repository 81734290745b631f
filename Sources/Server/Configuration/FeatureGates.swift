internal import Model

/// etcd's feature gates at this API level, with the values that describe this server.
public struct FeatureGates: Sendable, Equatable {
  /// The health service says NOT_SERVING while a defragmentation runs, so that clients go elsewhere.
  public var stopServiceOnDefragment = false

  public init() {}

  private static let defaults: [String: Bool] = [
    "AllAlpha": false, "AllBeta": false, "StopGRPCServiceOnDefrag": false, "InitialCorruptCheck": false,
    "CompactHashCheck": false, "TxnModeWriteWithSharedBuffer": true, "LeaseCheckpoint": false,
    "LeaseCheckpointPersist": false, "SetMemberLocalAddr": false, "FastLeaseKeepAlive": true,
    "PriorityRequest": false,
  ]

  private static let betas: Set<String> = ["AllBeta", "TxnModeWriteWithSharedBuffer", "FastLeaseKeepAlive"]

  /// Every gate, in the order of names, with its stage in etcd's words.
  var all: [(name: String, stage: String, isEnabled: Bool)] {
    Self.defaults.sorted { $0.key < $1.key }.map { name, usual in
      let isEnabled = name == "StopGRPCServiceOnDefrag" ? stopServiceOnDefragment : usual
      return (name, Self.betas.contains(name) ? "BETA" : "ALPHA", isEnabled)
    }
  }

  /// Takes the gates that are built, accepts the others when set to their defaults, and refuses the rest by name.
  init(parsing text: String) throws(ConfigurationError) {
    for part in text.split(separator: ",") {
      let gate = String(part).trimmingBlanks()
      if gate.isEmpty { continue }
      guard let equals = gate.firstIndex(of: "=") else {
        throw .invalid("missing bool value for \(gate)")
      }
      let name = String(gate[..<equals]).trimmingBlanks()
      let value = String(gate[gate.index(after: equals)...]).trimmingBlanks()
      guard let enabled = try? GoValueSyntax.boolean(value) else {
        throw .invalid(
          "invalid value of \(name)=\(value), err: strconv.ParseBool: parsing "
            + "\(GoValueSyntax.quoted(value)): invalid syntax")
      }
      guard let usual = Self.defaults[name] else { throw .invalid("unrecognized feature gate: \(name)") }
      if name == "StopGRPCServiceOnDefrag" {
        stopServiceOnDefragment = enabled
        continue
      }
      guard enabled == usual else {
        throw .notBuilt(flag: "--feature-gates=\(name)=\(value)", feature: "this setting of the gate")
      }
    }
  }
}
