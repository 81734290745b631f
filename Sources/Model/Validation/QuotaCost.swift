// What a request adds to the store at worst, by etcd's rule of thumb. 0 means that it adds nothing: such a
// request passes whatever the quota says.

extension PutRequest {
  /// In bytes. A put that keeps the stored value costs as one with an empty value, as in etcd.
  public var quotaCost: Int64 { 256 + Int64(key.count) + Int64(value.count) }
}

extension TransactionRequest {
  /// In bytes: that of the dearer branch. Nested transactions count (etcd's CVE-2026-33343 is of this kind: what a
  /// nested operation does must not pass unseen).
  public var quotaCost: Int64 { max(Self.quotaCost(success), Self.quotaCost(failure)) }

  private static func quotaCost(_ operations: [RequestOperation]) -> Int64 {
    operations.reduce(0) { sum, operation in
      switch operation {
      case .none, .range, .deleteRange: sum
      case .put(let put): sum + put.quotaCost
      case .transaction(let nested): sum + nested.quotaCost
      }
    }
  }
}

extension LeaseGrant {
  /// In bytes.
  public static let quotaCost: Int64 = 64
}

extension RaftCommand.Operation {
  /// In bytes.
  public var quotaCost: Int64 {
    switch self {
    case .put(let request): request.quotaCost
    case .transaction(let request): request.quotaCost
    case .leaseGrant: LeaseGrant.quotaCost
    case .none, .range, .deleteRange, .compaction, .leaseRevoke, .leaseCheckpoint, .alarm, .clusterVersionSet,
      .clusterMemberAttributesSet, .downgradeInfoSet, .unsupported:
      0
    }
  }
}
