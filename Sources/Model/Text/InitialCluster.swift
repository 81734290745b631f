/// One member of a cluster as `--initial-cluster` names it.
public struct InitialMember: Sendable, Equatable {
  public let name: String
  /// Sorted, as ids are computed from them.
  public let peerURLs: [EndpointURL]
}

/// `--initial-cluster`, read and checked in etcd's words: `name=url,name=url,...`, where a name that occurs
/// again adds a URL.
public struct InitialCluster: Sendable, Equatable {
  /// By name.
  public let members: [InitialMember]

  public init(parsing text: String) throws(ValueSyntaxError) {
    var urlsByName: [String: [String]] = [:]
    if !text.isEmpty {
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
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
      for text in texts { urls.append(try EndpointURL(parsing: text)) }
      members.append(InitialMember(name: name, peerURLs: urls.sorted()))
    }
    self.members = members
  }

  /// Checks that the member `name`, which advertises `advertised`, fits in, and that no URL is named twice.
  ///
  /// What the cluster expects of it and what it advertises must agree letter by letter: ids are computed from the
  /// letters.
  public func check(name: String, advertised: [EndpointURL]) throws(ValueSyntaxError) {
    guard let local = members.first(where: { $0.name == name }) else {
      throw ValueSyntaxError(
        "couldn't find local name \(GoValueSyntax.quoted(name)) in the initial cluster configuration")
    }
    let allURLs = members.flatMap(\.peerURLs)
    let spelled = members.flatMap { member in member.peerURLs.map { "\(member.name)=\($0)" } }.sorted()
    guard Set(allURLs).count == allURLs.count else {
      throw ValueSyntaxError("initial cluster \(spelled.joined(separator: ",")) has duplicate url")
    }
    try checkAdvertised(local, advertised.sorted())
  }

  private func checkAdvertised(
    _ local: InitialMember, _ advertised: [EndpointURL]
  ) throws(ValueSyntaxError) {
    let expected = local.peerURLs
    guard advertised != expected else { return }
    let name = local.name
    let advertisedText = advertised.map(\.description).joined(separator: ",")
    let missing = expected.filter { !advertised.contains($0) }
    if !missing.isEmpty {
      let missingText = missing.map { "\(name)=\($0)" }.joined(separator: ",")
      throw ValueSyntaxError(
        "--initial-cluster has \(missingText) but missing from --initial-advertise-peer-urls="
          + "\(advertisedText) (\(Self.difference(advertised, expected)))")
    }
    let unexpected = advertised.filter { !expected.contains($0) }
    let expectedText = expected.map { "\(name)=\($0)" }.joined(separator: ",")
    throw ValueSyntaxError(
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
