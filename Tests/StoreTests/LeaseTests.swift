import Foundation
import Model
import Primitives
import Store
import Testing

/// Leases as replicated state: what grants, puts, deletes and revocations leave behind.
@Suite("Leases in the store")
struct LeaseTests {
  private static func put(_ key: [UInt8], lease: Int64 = 0) -> RaftCommand.Operation {
    var request = PutRequest(key: key, value: [1])
    request.lease = lease
    return .put(request)
  }

  private static func put(_ key: String, lease: Int64 = 0) -> RaftCommand.Operation {
    put(Array(key.utf8), lease: lease)
  }

  private func names(_ harness: MVCCHarness, _ lease: Int64) throws -> [String] {
    try harness.publish()
    let view = try harness.view()
    defer { view.end() }
    return try view.keys(ofLease: lease).map { String(decoding: $0, as: UTF8.self) }
  }

  private func grant(_ harness: MVCCHarness, _ ids: Int64...) throws {
    for id in ids {
      let result = try harness.apply(.leaseGrant(LeaseGrant(id: id, ttl: 60)))
      #expect(result.leaseChange == .granted(id: id, ttlSeconds: 60))
    }
  }

  @Test func keysAttachMoveAndDetach() throws {
    let harness = try MVCCHarness()
    try grant(harness, 1, 2)
    for key in ["c", "a", "b", "d"] { _ = try harness.apply(Self.put(key, lease: 1)) }
    #expect(try names(harness, 1) == ["a", "b", "c", "d"])
    _ = try harness.apply(Self.put("b", lease: 2))
    _ = try harness.apply(Self.put("c"))
    _ = try harness.apply(.deleteRange(DeleteRangeRequest(key: Array("d".utf8))))
    _ = try harness.apply(Self.put("a", lease: 1))
    #expect(try names(harness, 1) == ["a"])
    #expect(try names(harness, 2) == ["b"])
    var keep = PutRequest(key: Array("b".utf8), value: [9])
    keep.ignoreLease = true
    _ = try harness.apply(.put(keep))
    #expect(try names(harness, 2) == ["b"], "ignore_lease keeps it")
    // A key that comes back does not come back to its lease.
    _ = try harness.apply(Self.put("d"))
    #expect(try names(harness, 1) == ["a"])
  }

  @Test func revocationIsOneRevisionInByteOrder() throws {
    let harness = try MVCCHarness()
    try grant(harness, 5)
    for key in ["z", "m", "a"] { _ = try harness.apply(Self.put(key, lease: 5)) }
    let result = try harness.apply(.leaseRevoke(id: 5))
    #expect(
      result == ApplyResult(headerRevision: 5, outcome: .success([]), leaseChange: .revoked(id: 5, keys: 3)))
    try harness.publish()
    let view = try harness.view()
    var rows: [String] = []
    try view.rows(from: Revision(main: 5, sub: 0), through: 5) { revision, row throws(StoreError) in
      rows.append("\(revision.sub) \(String(decoding: row.key, as: UTF8.self)) \(row.version.isTombstone)")
      return .next
    }
    #expect(rows == ["0 a true", "1 m true", "2 z true"])
    #expect(try view.leases().isEmpty)
  }

  @Test func revocationWithoutKeysSpendsNoRevision() throws {
    let harness = try MVCCHarness()
    try grant(harness, 5)
    _ = try harness.apply(Self.put("a", lease: 5))
    _ = try harness.apply(Self.put("a"))
    let result = try harness.apply(.leaseRevoke(id: 5))
    #expect(
      result == ApplyResult(headerRevision: 3, outcome: .success([]), leaseChange: .revoked(id: 5, keys: 0)))
    #expect(try harness.apply(.leaseRevoke(id: 5)).outcome == .failure(.leaseNotFound))
    #expect(try harness.apply(.leaseRevoke(id: 0)).outcome == .failure(.leaseNotFound))
  }

  @Test func refusalsAreEtcds() throws {
    let harness = try MVCCHarness()
    try grant(harness, 1)
    #expect(try harness.apply(.leaseGrant(LeaseGrant(id: 1, ttl: 9))).outcome == .failure(.leaseExists))
    #expect(try harness.apply(.leaseGrant(LeaseGrant(id: 0, ttl: 9))).outcome == .failure(.leaseNotFound))
    #expect(try harness.apply(Self.put("k", lease: 2)).outcome == .failure(.leaseNotFound))
    var transaction = TransactionRequest()
    var request = PutRequest(key: [1], value: [1])
    request.lease = 2
    transaction.success = [.put(PutRequest(key: [2], value: [2])), .put(request)]
    #expect(try harness.apply(.transaction(transaction)).outcome == .failure(.leaseNotFound))
    #expect(try harness.applier.revision == 1, "nothing of it was executed")
  }

  /// etcd 9374: a time beyond what a clock can count made leases expire at once.
  @Test func timesBeyondTheLongestAreRefused_9374() throws {
    let harness = try MVCCHarness()
    for ttl in [9_000_000_001, Int64.max] {
      let result = try harness.apply(.leaseGrant(LeaseGrant(id: 1, ttl: ttl)))
      #expect(result.outcome == .failure(.leaseTTLTooLarge))
    }
    #expect(
      try harness.apply(.leaseGrant(LeaseGrant(id: 1, ttl: 9_000_000_000))).leaseChange
        == .granted(id: 1, ttlSeconds: 9_000_000_000))
  }

  /// etcd 14239: members disagreed about a lease whose id is negative, once it came back from disk.
  @Test func negativeIDsSurviveARestart_14239() throws {
    let harness = try MVCCHarness()
    try grant(harness, -1, .min, 1, .max)
    for id in [-1, Int64.min, 1, .max] { _ = try harness.apply(Self.put("key of \(id)", lease: id)) }
    try harness.publish()
    try harness.commitEverything()
    _ = try harness.reopen()
    let view = try harness.view()
    defer { view.end() }
    #expect(try view.leases().map(\.id) == [1, .max, .min, -1])
    for id in [-1, Int64.min, 1, .max] { #expect(try names(harness, id) == ["key of \(id)"]) }
  }

  @Test func longKeysWithEqualFirstPartsAreSortedInBoundedBatches() throws {
    let harness = try MVCCHarness()
    try grant(harness, 1, 2)
    // Twelve MiB of keys that share their first 480 bytes, which is more than one batch takes, in random order.
    var random = SeededRandom(seed: 4)
    let prefix = [UInt8](repeating: 0x6b, count: 480)
    let tail = [UInt8](repeating: 0x74, count: 4_000)
    let keys = (0..<2_600).map { prefix + Array("\(100_000 + $0)".utf8) + tail }
    for key in keys.shuffled(using: &random) { _ = try harness.apply(Self.put(key, lease: 1)) }
    for key in keys.prefix(10) { _ = try harness.apply(Self.put(key, lease: 2)) }
    _ = try harness.apply(Self.put(Array(prefix.dropLast()), lease: 1))
    _ = try harness.apply(Self.put(prefix + [0], lease: 1))
    try harness.publish()
    let expected = [Array(prefix.dropLast()), prefix + [0]] + keys.dropFirst(10)
    let view = try harness.view()
    #expect(try view.keys(ofLease: 1) == expected)
    #expect(try view.keys(ofLease: 2) == Array(keys.prefix(10)))
    view.end()
    let revision = try harness.applier.revision + 1
    let result = try harness.apply(.leaseRevoke(id: 1))
    #expect(result.leaseChange == .revoked(id: 1, keys: expected.count))
    try harness.publish()
    let after = try harness.view()
    defer { after.end() }
    var deleted: [[UInt8]] = []
    try after.rows(from: Revision(main: revision, sub: 0), through: revision) {
      _, row throws(StoreError) in
      deleted.append([UInt8](row.key))
      return .next
    }
    #expect(deleted == expected)
    #expect(try after.keys(ofLease: 2).count == 10)
  }

  @Test func aHugeRevocationSpillsAndIsAtomic() throws {
    let harness = try MVCCHarness()
    try grant(harness, 1)
    let count = 20_000
    for number in 0..<count {
      _ = try harness.apply(Self.put("key \(100_000 + number)", lease: 1))
      if number % 2_000 == 0 { try harness.commitEverything() }
    }
    try harness.commitEverything()
    do {
      let before = try harness.view()
      defer { before.end() }
      let result = try harness.apply(.leaseRevoke(id: 1))
      #expect(result.leaseChange == .revoked(id: 1, keys: count))
      #expect(try harness.applier.spilledBytes > 0, "beyond its limit a generation is no anonymous memory")
      #expect(try before.keys(ofLease: 1).count == count && before.leases().count == 1)
    }
    try harness.commitEverything()
    let replayed = try harness.reopen()
    #expect(replayed.isEmpty)
    let after = try harness.view()
    defer { after.end() }
    #expect(try after.leases().isEmpty && after.keys(ofLease: 1).isEmpty)
    #expect(try after.count(from: [0], to: .unbounded, at: .max) == 0)
  }

  @Test func leasesTravelInSnapshots() throws {
    let directory = try EngineDirectory()
    let identity = StoreIdentity.test
    let store = try Store.open(path: directory.path + "/from", options: .tiny, identity: identity)
    var commands = try CommandApplier(store.makeApplier())
    let committer = try store.makeCommitter()
    let long = [UInt8](repeating: 0x6c, count: 700)
    let operations: [RaftCommand.Operation] = [
      .leaseGrant(LeaseGrant(id: 7, ttl: 60)), Self.put("b", lease: 7), Self.put(long, lease: 7),
      Self.put(long, lease: 7), Self.put("a", lease: 7),
    ]
    for (index, operation) in operations.enumerated() {
      _ = try commands.apply(
        index: UInt64(index + 1), term: 1, command: RaftCommand(operation: operation))
    }
    #expect(try commands.applier.freeze())
    while try committer.commitNext() != nil {}
    let target = directory.path + "/to"
    do {
      let importer = try StoreImporter(path: target, options: .tiny, identity: identity)
      try store.export(fileGrowthBytesMax: .max).forEachRow { table, key, value throws(StoreError) in
        try importer.append(table: table, key: key, value: value)
        return .next
      }
      try importer.finish()
    }
    let copy = try Store.open(path: target, options: .tiny, identity: identity)
    var copied = try CommandApplier(copy.makeApplier())
    let view = try copy.view()
    #expect(try view.leases() == [LeaseRecord(id: 7, ttlSeconds: 60)])
    #expect(try view.keys(ofLease: 7) == [[0x61], [0x62], long])
    view.end()
    let revoke = RaftCommand(operation: .leaseRevoke(id: 7))
    #expect(
      try copied.apply(index: 6, term: 1, command: revoke)
        == commands.apply(index: 6, term: 1, command: revoke))
  }
}
