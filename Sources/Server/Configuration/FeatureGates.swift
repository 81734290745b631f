/// etcd's feature gates at this API level, with the values that describe this server.
enum FeatureGates {
  private static let defaults: [String: Bool] = [
    "AllAlpha": false, "AllBeta": false, "StopGRPCServiceOnDefrag": false, "InitialCorruptCheck": false,
    "CompactHashCheck": false, "TxnModeWriteWithSharedBuffer": true, "LeaseCheckpoint": false,
    "LeaseCheckpointPersist": false, "SetMemberLocalAddr": false, "FastLeaseKeepAlive": true,
    "PriorityRequest": false,
  ]

  /// Accepts gates set to their defaults and refuses the others by name.
  static func check(_ text: String) throws(ConfigurationError) {
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
      guard let usual = defaults[name] else { throw .invalid("unrecognized feature gate: \(name)") }
      guard enabled == usual else {
        throw .notBuilt(flag: "--feature-gates=\(name)=\(value)", feature: "this setting of the gate")
      }
    }
  }
}
