/// The cluster named on the command line, which matters at the first start only.
public struct InitialMember: Sendable, Equatable {
  public let name: String
  /// Sorted, as ids are computed from them.
  public let peerURLs: [EndpointURL]
}

extension ServerConfiguration {
  /// Reads `--initial-cluster` and checks that this member fits in, in etcd's words.
  ///
  /// Call it when the data directory holds no member yet; a restart takes its cluster from its data.
  public func bootstrapMembers() throws(ConfigurationError) -> [InitialMember] {
    let members = try initialMembers()
    guard let local = members.first(where: { $0.name == name }) else {
      throw .invalid(
        "couldn't find local name \(GoValueSyntax.quoted(name)) in the initial cluster configuration")
    }
    let allURLs = members.flatMap(\.peerURLs)
    let spelled = members.flatMap { member in member.peerURLs.map { "\(member.name)=\($0)" } }.sorted()
    guard Set(allURLs).count == allURLs.count else {
      throw .invalid("initial cluster \(spelled.joined(separator: ",")) has duplicate url")
    }
    try checkAdvertised(local)
    guard members.count == 1 else {
      throw .notBuilt(flag: "--initial-cluster", feature: "a cluster of several members")
    }
    guard initialClusterState == .new else {
      throw .notBuilt(flag: "--initial-cluster-state=existing", feature: "joining a cluster")
    }
    return members
  }

  private func initialMembers() throws(ConfigurationError) -> [InitialMember] {
    var urlsByName: [String: [String]] = [:]
    if !initialCluster.isEmpty {
      for part in initialCluster.split(separator: ",", omittingEmptySubsequences: false) {
        // A part without `=` has no URL, which the parser then refuses as etcd does.
        guard let equals = part.firstIndex(of: "=") else {
          urlsByName[String(part), default: []].append("")
          continue
        }
        let name = String(part[..<equals]).trimmingBlanks()
        urlsByName[name, default: []].append(String(part[part.index(after: equals)...]))
      }
    }
    var members: [InitialMember] = []
    for (name, texts) in urlsByName.sorted(by: { $0.key < $1.key }) {
      var urls: [EndpointURL] = []
      for text in texts {
        do {
          urls.append(try EndpointURL(parsing: text))
        } catch {
          throw .invalid("error setting up initial cluster: \(error.text)")
        }
      }
      if let secure = urls.first(where: { $0.scheme != .http }) {
        throw .notBuilt(
          flag: "--initial-cluster \(name)=\(secure)", feature: "a peer URL other than http")
      }
      members.append(InitialMember(name: name, peerURLs: urls.sorted()))
    }
    return members
  }

  /// What the cluster expects of this member and what the member advertises must agree, letter by letter:
  /// the ids are computed from the letters.
  private func checkAdvertised(_ local: InitialMember) throws(ConfigurationError) {
    let advertised = advertisePeerURLs.sorted()
    let expected = local.peerURLs
    guard advertised != expected else { return }
    let advertisedText = advertised.map(\.description).joined(separator: ",")
    let missing = expected.filter { !advertised.contains($0) }
    if !missing.isEmpty {
      let missingText = missing.map { "\(name)=\($0)" }.joined(separator: ",")
      throw .invalid(
        "--initial-cluster has \(missingText) but missing from --initial-advertise-peer-urls="
          + "\(advertisedText) (\(Self.difference(advertised, expected)))")
    }
    let unexpected = advertised.filter { !expected.contains($0) }
    let expectedText = expected.map { "\(name)=\($0)" }.joined(separator: ",")
    throw .invalid(
      "--initial-advertise-peer-urls has \(unexpected.map(\.description).joined(separator: ",")) "
        + "but missing from --initial-cluster=\(expectedText)")
  }

  private static func difference(_ advertised: [EndpointURL], _ expected: [EndpointURL]) -> String {
    func list(_ urls: [EndpointURL]) -> String {
      "[" + urls.map { GoValueSyntax.quoted($0.description) }.joined(separator: " ") + "]"
    }
    guard advertised.count == expected.count,
      let (left, right) = zip(advertised, expected).first(where: { $0 != $1 })
    else { return "len(\(list(advertised))) != len(\(list(expected)))" }
    let (leftText, rightText) = (
      GoValueSyntax.quoted(left.description), GoValueSyntax.quoted(right.description)
    )
    return "\(leftText)(resolved from \(leftText)) != \(rightText)(resolved from \(rightText))"
  }
}
