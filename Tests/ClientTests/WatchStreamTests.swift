import Client
import EtcdAPI
import Model
import Synchronization
import Testing
import Wire

/// What listeners heard, readable from the test's task.
final class Heard<Update: Sendable>: Sendable {
  private let updates = Mutex<[Update]>([])

  var now: [Update] { updates.withLock { $0 } }

  var listener: @Sendable (Update) -> Void {
    { update in self.updates.withLock { $0.append(update) } }
  }

  /// Waits until `condition` holds; false after ten seconds.
  func eventually(_ condition: ([Update]) -> Bool) async throws -> Bool {
    for _ in 0..<2000 {
      if condition(now) { return true }
      try await Task.sleep(for: .milliseconds(5))
    }
    return condition(now)
  }
}

extension Heard where Update == WatchStream.Update {
  var revisions: [Int64] {
    now.flatMap { update -> [Int64] in
      if case .events(let events, _) = update { events.map(\.keyValue.modRevision) } else { [] }
    }
  }
}

@Suite struct WatchStreamTests {
  @Test func everythingIsHeardOnceAcrossLostConnections() async throws {
    try await FakeServer.run { server in
      let watch = WatchStream(server.client)
      let heard = (0..<3).map { _ in Heard<WatchStream.Update>() }
      for (key, heard) in heard.enumerated() {
        let options = WatchOptions(key: [UInt8(key)], startRevision: key == 0 ? 1 : 0)
        _ = try await watch.add(options, listener: heard.listener)
        #expect(try await heard.eventually { $0 == [.created(revision: 1)] })
      }
      var expected: [[Int64]] = [[], [], []]
      for round in 0..<20 {
        // Some happen while nobody is connected.
        try await server.onLoop { fake in
          for index in 0..<10 { fake.put([UInt8((round + index) % 3)]) }
          fake.dropConnections()
          for index in 0..<5 { fake.put([UInt8((round + index) % 3)]) }
        }
        for index in 0..<15 {
          let key = index < 10 ? (round + index) % 3 : (round + index - 10) % 3
          expected[key].append(Int64(2 + round * 15 + index))
        }
        let wanted = expected.map(\.count)
        for (key, heard) in heard.enumerated() {
          #expect(try await heard.eventually { _ in heard.revisions.count >= wanted[key] })
        }
      }
      for (key, heard) in heard.enumerated() {
        #expect(heard.revisions == expected[key])
        #expect(heard.now.filter { if case .created = $0 { true } else { false } }.count == 1)
      }
      watch.close()
    }
  }

  @Test func piecesOfAResponseAreHeardTogether() async throws {
    try await FakeServer.run { server in
      try await server.onLoop { fake in
        fake.fragments = true
        for _ in 0..<5 { fake.put([7]) }
      }
      let heard = Heard<WatchStream.Update>()
      let watch = WatchStream(server.client)
      _ = try await watch.add(WatchOptions(key: [7], startRevision: 2), listener: heard.listener)
      #expect(try await heard.eventually { $0.count == 2 })
      guard case .events(let events, let revision)? = heard.now.last else {
        Issue.record("\(heard.now)")
        return
      }
      #expect(events.map(\.keyValue.modRevision) == [2, 3, 4, 5, 6])
      #expect(revision == 6)
      watch.close()
    }
  }

  @Test func refusedWatchersHearWhyAndOthersGoOn() async throws {
    try await FakeServer.run { server in
      try await server.onLoop { fake in
        for _ in 0..<10 { fake.put([1]) }
        fake.compacted = 5
      }
      let watch = WatchStream(server.client)
      let (good, compacted, negative) = (
        Heard<WatchStream.Update>(), Heard<WatchStream.Update>(), Heard<WatchStream.Update>()
      )
      _ = try await watch.add(WatchOptions(key: [1], startRevision: -3), listener: negative.listener)
      _ = try await watch.add(WatchOptions(key: [1], startRevision: 2), listener: compacted.listener)
      _ = try await watch.add(WatchOptions(key: [1], startRevision: 5), listener: good.listener)
      #expect(try await good.eventually { _ in good.revisions == Array(5...11) })
      let reason = "etcdserver: mvcc: required revision has been compacted"
      #expect(negative.now == [.ended(ClientError(.cancelled, reason), compactRevision: 0)])
      #expect(compacted.now == [.created(revision: 11), .ended(.compacted, compactRevision: 5)])
      watch.close()
    }
  }

  @Test func progressReachesAllAndIsResumedFrom() async throws {
    try await FakeServer.run { server in
      let watch = WatchStream(server.client)
      let (one, other) = (Heard<WatchStream.Update>(), Heard<WatchStream.Update>())
      _ = try await watch.add(WatchOptions(key: [1], startRevision: 1), listener: one.listener)
      let removed = try await watch.add(WatchOptions(key: [2]), listener: other.listener)
      #expect(try await other.eventually { $0.count == 1 })
      try await server.onLoop { fake in
        for _ in 0..<4 { fake.put([3]) }
      }
      watch.requestProgress()
      #expect(try await one.eventually { $0.last == .progress(revision: 5) })
      #expect(try await other.eventually { $0.last == .progress(revision: 5) })
      watch.remove(removed)
      // Nothing up to 5 is asked for again, so its compaction does no harm.
      try await server.onLoop { fake in
        fake.compacted = 6
        fake.dropConnections()
        fake.put([1])
        fake.put([2])
      }
      #expect(try await one.eventually { _ in one.revisions == [6] })
      #expect(other.revisions.isEmpty)
      watch.close()
    }
  }

  @Test func aServerWithoutWatchIsNotAskedAgain() async throws {
    try await FakeServer.run { server in
      let heard = Heard<WatchStream.Update>()
      let port = server.client.endpoints[0].port
      let client = EtcdClient(
        endpoints: [Endpoint(host: "127.0.0.1", port: port)], eventLoop: server.client.eventLoop,
        callOptions: CallOptions(metadata: [("grpc-encoding", "unheard-of")]))
      let watch = WatchStream(client)
      _ = try await watch.add(WatchOptions(key: [1]), listener: heard.listener)
      #expect(try await heard.eventually { !$0.isEmpty })
      let text = #"grpc: Decompressor is not installed for grpc-encoding "unheard-of""#
      #expect(heard.now == [.ended(ClientError(.unimplemented, text), compactRevision: 0)])
      client.close()
    }
  }
}

@Suite struct LeaseKeeperTests {
  @Test func leasesAreRenewedAcrossLostConnections() async throws {
    try await FakeServer.run { server in
      try await server.onLoop { $0.timeToLive = 2 }
      let keeper = LeaseKeeper(server.client)
      let heard = Heard<LeaseKeeper.Update>()
      keeper.keep(7, listener: heard.listener)
      #expect(try await heard.eventually { $0.count >= 2 })
      try await server.onLoop { $0.dropConnections() }
      let before = heard.now.count
      #expect(try await heard.eventually { $0.count >= before + 2 })
      #expect(Set(heard.now) == [.renewed(timeToLiveSeconds: 2)])
      keeper.close()
    }
  }

  @Test func aLeaseThatIsGoneIsLost() async throws {
    try await FakeServer.run { server in
      try await server.onLoop { $0.timeToLive = 0 }
      let keeper = LeaseKeeper(server.client)
      let heard = Heard<LeaseKeeper.Update>()
      keeper.keep(7, listener: heard.listener)
      #expect(try await heard.eventually { $0 == [.lost(.leaseNotFound)] })
      let renewals = try await server.onLoop { $0.renewals }
      try await Task.sleep(for: .milliseconds(1200))
      #expect(try await server.onLoop { $0.renewals } == renewals)
      keeper.close()
    }
  }

  @Test func silenceForATimeToLiveIsLoss() async throws {
    try await FakeServer.run { server in
      try await server.onLoop { $0.timeToLive = 2 }
      let keeper = LeaseKeeper(server.client)
      let heard = Heard<LeaseKeeper.Update>()
      keeper.keep(7, listener: heard.listener)
      #expect(try await heard.eventually { !$0.isEmpty })
      try await server.onLoop { $0.answersKeepAlive = false }
      let clock = ContinuousClock()
      let start = clock.now
      #expect(try await heard.eventually { $0.last == .lost(.leaseNotFound) })
      #expect(clock.now - start < .seconds(4))
      keeper.close()
    }
  }
}

@Suite struct RangeStreamTests {
  @Test func chunksComeInOrder() async throws {
    try await FakeServer.run { server in
      let heard = Heard<Etcdserverpb_RangeResponse>()
      try await server.client.rangeStream(RangeRequest(key: [0], rangeEnd: [0]), onChunk: heard.listener)
      #expect(heard.now.flatMap(\.kvs).map(\.modRevision) == [0, 1, 2])
      #expect(heard.now.map(\.count) == [0, 0, 3])
    }
  }
}
