import Crypto

/// Ids computed as etcd computes them, so that tools and mixed clusters agree on them.
public enum ClusterIdentity {
  /// The id of a member of the initial cluster: SHA-1 over its sorted peer URLs and the cluster's token, joined
  /// without separators; the first eight bytes, big-endian.
  public static func memberID(peerURLs: [String], clusterToken: String) -> UInt64 {
    var hash = Insecure.SHA1()
    for url in peerURLs.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      hash.add(Array(url.utf8))
    }
    hash.add(Array(clusterToken.utf8))
    return firstEightBytes(hash.finalize())
  }

  /// The id of the cluster: SHA-1 over the sorted members' ids as eight big-endian bytes each.
  public static func clusterID(memberIDs: [UInt64]) -> UInt64 {
    var hash = Insecure.SHA1()
    for id in memberIDs.sorted() {
      hash.add((0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64($0))) })
    }
    return firstEightBytes(hash.finalize())
  }

  /// Lower-case hexadecimal without padding, as ids are printed everywhere.
  public static func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }

  private static func firstEightBytes(_ digest: Insecure.SHA1Digest) -> UInt64 {
    digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension Insecure.SHA1 {
  fileprivate mutating func add(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update(bufferPointer: $0) }
  }
}
