/// What a configuration file may hold: etcd's keys, their Go types, and the flags they stand for.
enum ConfigurationFileSchema {
  indirect enum Shape {
    case map(goType: String, [String: Shape])
    case flag(FlagDefinition, goType: String)
    /// A list of texts, for a flag that takes them with commas.
    case list(FlagDefinition)
    /// Keys that no flag stands for and whose feature is not built: an error unless empty.
    case refusedList(String)
    case refusedSwitch(String)
  }

  static let root = Shape.map(goType: "embed.configYAML", topLevel)

  private static let topLevel: [String: Shape] = {
    var keys: [String: Shape] = [:]
    for definition in FlagTable.all where !flagsWithoutKey.contains(definition.name) {
      keys[definition.name] = shape(of: definition)
    }
    keys["client-transport-security"] = security(prefix: "")
    keys["peer-transport-security"] = security(prefix: "peer-")
    keys["discovery-config"] = discovery
    keys["socket-options"] = .map(
      goType: "transport.SocketOpts",
      ["reuse-port": flag("socket-reuse-port"), "reuse-address": flag("socket-reuse-address")])
    return keys
  }()

  /// Flags that have no key at the top: some have none at all, the others stand in the maps.
  private static let flagsWithoutKey: Set<String> = {
    var names: Set<String> = [
      "config-file", "version", "raft-read-timeout", "raft-write-timeout", "discovery-fallback",
      "socket-reuse-port", "socket-reuse-address",
    ]
    let topLevelSecurity: Set<String> = [
      "cipher-suites", "tls-min-version", "tls-max-version", "self-signed-cert-validity", "cors",
      "host-whitelist",
    ]
    let topLevelDiscovery: Set<String> = ["discovery-srv", "discovery-srv-name"]
    for definition in FlagTable.all {
      if case .ignored = definition.kind { names.insert(definition.name) }
      if definition.section == .security, !topLevelSecurity.contains(definition.name) {
        names.insert(definition.name)
      }
      if definition.name.hasPrefix("discovery-"), !topLevelDiscovery.contains(definition.name) {
        names.insert(definition.name)
      }
    }
    return names
  }()

  private static func flag(_ name: String) -> Shape {
    guard let definition = FlagTable.byName[name] else {
      preconditionFailure("no flag --\(name) in the table")
    }
    return shape(of: definition)
  }

  private static func list(_ name: String) -> Shape {
    guard let definition = FlagTable.byName[name] else {
      preconditionFailure("no flag --\(name) in the table")
    }
    return .list(definition)
  }

  private static func shape(of definition: FlagDefinition) -> Shape {
    let goType: String
    switch definition.kind {
    case .boolean: goType = "bool"
    case .integer: goType = definition.name == "quota-backend-bytes" ? "int64" : "int"
    case .unsigned: goType = definition.name.hasPrefix("snapshot-") ? "uint64" : "uint"
    case .unsigned32: goType = "uint32"
    case .duration: goType = "time.Duration"
    case .names where definition.name == "log-outputs": return .list(definition)
    case .text where definition.name == "cipher-suites": return .list(definition)
    case .text, .urls, .names, .choice, .featureGates, .origins, .ignored: goType = "string"
    }
    return .flag(definition, goType: goType)
  }

  /// TLS of the client side (no prefix) or of the peers. Neither has a key for revocation lists.
  private static func security(prefix: String) -> Shape {
    var keys: [String: Shape] = [:]
    for name in [
      "cert-file", "key-file", "client-cert-file", "client-key-file", "client-cert-auth", "trusted-ca-file",
      "auto-tls",
    ] { keys[name] = flag(prefix + name) }
    if prefix.isEmpty {
      keys["allowed-cn"] = .refusedList("TLS")
      keys["allowed-hostname"] = list("client-cert-allowed-hostname")
      keys["skip-client-san-verification"] = .refusedSwitch("TLS")
    } else {
      keys["allowed-cn"] = list("peer-cert-allowed-cn")
      keys["allowed-hostname"] = list("peer-cert-allowed-hostname")
      keys["skip-client-san-verification"] = flag("peer-skip-client-san-verification")
    }
    return .map(goType: "embed.securityConfig", keys)
  }

  private static let discovery: Shape = {
    let secure = Shape.map(
      goType: "clientv3.SecureConfig",
      [
        "cert": flag("discovery-cert"), "key": flag("discovery-key"), "cacert": flag("discovery-cacert"),
        "insecure-transport": flag("discovery-insecure-transport"),
        "insecure-skip-tls-verify": flag("discovery-insecure-skip-tls-verify"),
      ])
    let auth = Shape.map(
      goType: "clientv3.AuthConfig",
      ["username": flag("discovery-user"), "password": flag("discovery-password")])
    let client = Shape.map(
      goType: "clientv3.ConfigSpec",
      [
        "endpoints": list("discovery-endpoints"), "dial-timeout": flag("discovery-dial-timeout"),
        "request-timeout": flag("discovery-request-timeout"),
        "keepalive-time": flag("discovery-keepalive-time"),
        "keepalive-timeout": flag("discovery-keepalive-timeout"), "secure": secure, "auth": auth,
      ])
    return .map(
      goType: "v3discovery.DiscoveryConfig", ["token": flag("discovery-token"), "client": client])
  }()
}
