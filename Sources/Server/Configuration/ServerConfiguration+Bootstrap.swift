public import Model

extension ServerConfiguration {
  /// Reads `--initial-cluster` and checks that this member fits in, in etcd's words.
  ///
  /// Call it when the data directory holds no member yet; a restart takes its cluster from its data.
  public func bootstrapMembers() throws(ConfigurationError) -> [InitialMember] {
    let cluster: InitialCluster
    do throws(ValueSyntaxError) {
      cluster = try InitialCluster(parsing: initialCluster)
    } catch {
      throw .invalid("error setting up initial cluster: \(error.text)")
    }
    for member in cluster.members {
      if let secure = member.peerURLs.first(where: { $0.scheme != .http }) {
        throw .notBuilt(
          flag: "--initial-cluster \(member.name)=\(secure)", feature: "a peer URL other than http")
      }
    }
    do throws(ValueSyntaxError) {
      try cluster.check(name: name, advertised: advertisePeerURLs)
    } catch {
      throw .invalid(error.text)
    }
    return cluster.members
  }
}
