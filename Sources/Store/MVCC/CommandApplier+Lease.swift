public import Model
import Primitives

extension CommandApplier {
  /// Grants a lease. Id and time to live were settled by whoever proposed it: nothing here depends on a member's clock
  /// or settings.
  func grantLease(_ grant: LeaseGrant) throws(StoreError) -> ApplyResult {
    if grant.id == 0 { return failure(.leaseNotFound) }
    if grant.ttl > LeaseRecord.ttlSecondsMax { return failure(.leaseTTLTooLarge) }
    if try applier.leaseExists(grant.id) { return failure(.leaseExists) }
    try applier.putRow(
      table: .lease, key: leaseKey(grant.id),
      value: LeaseRecord(id: grant.id, ttlSeconds: grant.ttl).encoded())
    var body = ProtoWriter()
    body.int64(2, grant.id)
    body.int64(3, grant.ttl)
    var result = success(body)
    result.leaseChange = .granted(id: grant.id, ttlSeconds: grant.ttl)
    return result
  }

  /// Deletes the keys that a lease holds, in byte order and one revision, and the lease, in one entry. However many
  /// there are, a batch of keys is in memory at a time.
  mutating func revokeLease(_ id: Int64) throws(StoreError) -> ApplyResult {
    guard try applier.leaseExists(id) else { return failure(.leaseNotFound) }
    var scan = LeaseKeyScan(lease: id)
    while let keys = try scan.next(in: applier) {
      for key in keys {
        try delete(key)
        tally.deletes += 1
      }
    }
    try applier.deleteRow(table: .lease, key: leaseKey(id))
    var result = success()
    result.leaseChange = .revoked(id: id, keys: Int(changes))
    return result
  }

  /// Accepts what an etcd leader with checkpoints tells about the time that leases have left. It is kept nowhere: a new
  /// leader gives every lease its whole time again, as etcd does without persisted checkpoints.
  func checkpointLeases(_ checkpoints: [LeaseCheckpoint]) throws(StoreError) -> ApplyResult {
    for checkpoint in checkpoints where try !applier.leaseExists(checkpoint.id) {
      return failure(.leaseNotFound)
    }
    return success()
  }
}

// MARK: - Reading

/// Rows of `lease` are keyed by id, big-endian, negative ones behind the others.
func leaseKey(_ id: Int64) -> [UInt8] {
  var key: [UInt8] = []
  key.appendBigEndian(UInt64(bitPattern: id))
  return key
}

extension KeyReader {
  func leaseExists(_ id: Int64) throws(StoreError) -> Bool {
    id == 0 ? false : try value(table: .lease, key: leaseKey(id)) != nil
  }
}

extension ReadView {
  /// Every granted lease.
  public func leases() throws(StoreError) -> [LeaseRecord] {
    var records: [LeaseRecord] = []
    try tableRows(.lease, from: [], to: .unbounded) { (key, value) throws(StoreError) -> ScanStep in
      do throws(ProtoError) {
        records.append(try LeaseRecord(decoding: value))
      } catch {
        throw .corrupt(file: "", table: .lease, key: [UInt8](key), reason: "not a lease: \(error)")
      }
      return .next
    }
    return records
  }

  /// Whether a lease is granted in the view's state.
  public func hasLease(_ id: Int64) throws(StoreError) -> Bool { try leaseExists(id) }

  /// The keys that a lease holds, in byte order; none if there is no such lease.
  public func keys(ofLease id: Int64) throws(StoreError) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    var scan = LeaseKeyScan(lease: id)
    while let batch = try scan.next(in: self) { keys += batch }
    return keys
  }
}
