import Model
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import PeerTransport

/// Two members on loopback: what one sends the other gets, or is told of.
@Suite(.serialized) struct TransportTests {
  private func pair(
    limits: PeerLimits = PeerLimits(), timeouts: PeerTimeouts = PeerTimeouts(unchecked: 2000)
  ) throws -> (TestMember, TestMember) {
    let one = try TestMember(id: 1, limits: limits, timeouts: timeouts)
    let two = try TestMember(id: 2, limits: limits, timeouts: timeouts)
    one.transport.add(2, urls: [try two.url])
    two.transport.add(1, urls: [try one.url])
    try waitForStreams(one, 2)
    try waitForStreams(two, 4)
    return (one, two)
  }

  /// Both streams to and from a peer.
  private func waitForStreams(_ member: TestMember, _ count: Int) throws {
    try wait("the streams are open") {
      member.now.notices.count { if case .streamOpened = $0 { true } else { false } } >= min(count, 4)
    }
  }

  /// A sender as Raft is one: what was lost is sent again, in order. The connections are cut all the while.
  @Test func `100,000 messages arrive in order although the connections break`() throws {
    let (one, two) = try pair()
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    let total: UInt64 = 100_000
    let next = Mutex<UInt64>(1)
    let answerer = two.transport
    two.onMessages { messages in
      let expected = next.withLock { next in
        for message in messages where message.kind == .append && message.index == next { next += 1 }
        return next
      }
      answerer.send([Message(kind: .appendResponse, to: 1, from: 2, term: 1, index: expected)])
    }
    let acknowledged = Mutex<UInt64>(1)
    one.onMessages { messages in
      acknowledged.withLock { acknowledged in
        for message in messages { acknowledged = max(acknowledged, message.index) }
      }
    }
    var sent: UInt64 = 1
    var cuts = 0
    var last: UInt64 = 1
    var lastProgress = NIODeadline.now()
    let end = NIODeadline.now() + .seconds(100)
    while last <= total, NIODeadline.now() < end {
      let known = acknowledged.withLock { $0 }
      if known > last {
        last = known
        lastProgress = .now()
      } else if NIODeadline.now() - lastProgress > .milliseconds(200) {
        sent = last
        lastProgress = .now()
      }
      if last >= UInt64(cuts + 1) * total / 6 {
        cuts += 1
        for member in [one, two] {
          try member.transport.eventLoop.submit { member.transport.cutConnections() }.wait()
        }
      }
      if sent <= total, sent < last + 2000 {
        let batch = (sent..<min(sent + 500, total + 1)).map { index in
          Message(
            kind: .append, to: 2, from: 1, term: 1, logTerm: 1, index: index,
            entries: [Entry(term: 1, index: index + 1, data: [1, 2, 3])])
        }
        sent += UInt64(batch.count)
        one.transport.send(batch)
      } else {
        Thread.sleep(milliseconds: 1)
      }
    }
    #expect(next.withLock { $0 } == total + 1)
    #expect(cuts >= 5)
    #expect(!one.now.unreachable.isEmpty, "a broken stream is reported")
  }

  @Test func `a heartbeat overtakes the appends that wait`() throws {
    let (one, two) = try pair()
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    let large = (0..<200).map { index in
      Message(
        kind: .append, to: 2, from: 1, term: 1, logTerm: 1, index: UInt64(index),
        entries: [Entry(term: 1, index: UInt64(index) + 1, data: Array(repeating: 7, count: 200_000))])
    }
    one.transport.send(large + [Message(kind: .heartbeat, to: 2, from: 1, term: 1)])
    try wait("all is there") { two.now.messages.count >= 201 }
    let position = two.now.messages.firstIndex { $0.kind == .heartbeat }
    #expect((position ?? 200) < 150, "40 MB of appends were in front of it")
    #expect(two.now.messages.filter { $0.kind == .append }.map(\.index) == (0..<200).map { UInt64($0) })
  }

  @Test func `a member that does not consume is not sent without end`() throws {
    var limits = PeerLimits()
    limits.receivedBytes = 1 << 20
    limits.queuedBytes = 4 << 20
    limits.queuedMessages = 1000
    let (one, two) = try pair(limits: limits, timeouts: PeerTimeouts(unchecked: 20_000))
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    two.consume(false)
    for round in 0..<200 {
      one.transport.send(
        (0..<10).map { index in
          Message(
            kind: .append, to: 2, from: 1, term: 1, logTerm: 1, index: UInt64(round * 10 + index),
            entries: [Entry(term: 1, index: 1, data: Array(repeating: 7, count: 50_000))])
        })
    }
    try wait("the queue is full") { !one.now.unreachable.isEmpty }
    one.transport.send([Message(kind: .heartbeat, to: 2, from: 1, term: 1)])
    try wait("a heartbeat gets through all the same") { two.now.messages.contains { $0.kind == .heartbeat } }
    #expect(two.now.outstandingBytesMax < 6 << 20)
    let before = two.now.messages.count
    two.consume(true)
    try wait("it goes on") { two.now.messages.count > before + 20 }
    #expect(try one.transport.statistics().wait().first?.sendFailures ?? 0 > 0)
  }

  @Test func `a snapshot of 64 MiB is streamed`() throws {
    let (one, two) = try pair()
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    let sink = CountingSink(delay: .microseconds(200))
    two.takeSnapshots(in: sink)
    let source = CountingSource(bytes: 64 << 20)
    let metadata = SnapshotMetadata(confState: ConfState(voters: [1, 2]), index: 10, term: 1)
    let message = Message(kind: .snapshot, to: 2, from: 1, term: 1, snapshot: metadata)
    one.transport.sendSnapshot(message, from: source)
    var ahead = 0
    try wait("it is there") {
      ahead = max(ahead, source.given.withLock { $0 } - sink.bytes.withLock { $0 })
      return !one.now.snapshots.isEmpty
    }
    #expect(one.now.snapshots == [true])
    #expect(sink.bytes.withLock { $0 } == 64 << 20)
    #expect(sink.sum.withLock { $0 } == source.sum.withLock { $0 })
    #expect(sink.outcome.withLock { $0 } == "finished")
    #expect(sink.largestPiece.withLock { $0 } < 4 << 20)
    // Buffers of the two sockets and of the two ends.
    #expect(ahead < 24 << 20, "\(ahead) bytes were under way at once")
    #expect(two.now.messages == [message])
    #expect(source.isClosed.withLock { $0 })
    let statistics = try two.transport.statistics().wait()
    #expect(statistics.first?.snapshotsReceived == 1)
  }

  @Test func `a snapshot may be synced for longer than a connection may be silent`() throws {
    let (one, two) = try pair(timeouts: PeerTimeouts(unchecked: 300))
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    two.takeSnapshots(in: CountingSink(finishDelay: .milliseconds(1500)))
    let metadata = SnapshotMetadata(confState: ConfState(voters: [1, 2]), index: 10, term: 1)
    let message = Message(kind: .snapshot, to: 2, from: 1, term: 1, snapshot: metadata)
    one.transport.sendSnapshot(message, from: CountingSource(bytes: 1 << 20))
    try wait("it is there") { !one.now.snapshots.isEmpty }
    #expect(one.now.snapshots == [true])
    #expect(two.now.messages == [message])
  }

  @Test func `a snapshot that nobody takes fails, and so does one that breaks off`() throws {
    let (one, two) = try pair()
    defer { #expect(throws: Never.self) { try one.stop() } }
    let metadata = SnapshotMetadata(confState: ConfState(voters: [1, 2]), index: 10, term: 1)
    let message = Message(kind: .snapshot, to: 2, from: 1, term: 1, snapshot: metadata)
    one.transport.sendSnapshot(message, from: CountingSource(bytes: 1000))
    try wait("it was refused") { one.now.snapshots == [false] }
    let sink = CountingSink(delay: .milliseconds(50))
    two.takeSnapshots(in: sink)
    let source = CountingSource(bytes: 64 << 20)
    one.transport.sendSnapshot(message, from: source)
    try wait("it began") { sink.bytes.withLock { $0 } > 0 }
    try two.stop()
    try wait("it failed") { one.now.snapshots == [false, false] }
    #expect(sink.outcome.withLock { $0 } == "aborted")
    #expect(source.isClosed.withLock { $0 })
    var unknown = message
    unknown.to = 77
    one.transport.sendSnapshot(unknown, from: CountingSource(bytes: 1))
    try wait("nobody is there") { one.now.snapshots == [false, false, false] }
  }

  @Test func `a sender that is no member yet can be answered at the URLs it names`() throws {
    var limits = PeerLimits()
    limits.remotes = 1
    let one = try TestMember(id: 1)
    let two = try TestMember(id: 2, limits: limits)
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    func post(from id: UInt64, urls: String) throws -> Int {
      try one.transport.client.call(
        "POST", try two.url, path: "/raft",
        headers: [
          ("X-Server-From", "\(id)"), ("X-Server-Version", "3.7.1"), ("X-Min-Cluster-Version", "3.0.0"),
          ("X-Etcd-Cluster-ID", "abc"), ("X-PeerURLs", urls),
        ], body: Message(kind: .heartbeat, to: 2, from: id, term: 1).encoded(), timeout: 10_000_000_000
      ).wait().status
    }
    #expect(try post(from: 3, urls: "http://127.0.0.1:1,nonsense") == 204)
    #expect(try post(from: 1, urls: "\(try one.url)") == 204)
    #expect(try post(from: 4, urls: "http://127.0.0.1:1") == 204)
    let answer = Message(kind: .heartbeatResponse, to: 1, from: 2, term: 1)
    two.transport.send([answer])
    try wait("it is answered") { one.now.messages == [answer] }
    let remotes = two.now.notices.compactMap { notice -> UInt64? in
      if case .remoteAdded(let id, _) = notice { return id }
      return nil
    }
    #expect(remotes == [1], "one with a URL that cannot be read, one too many")
    #expect(two.transport.statuses.isEmpty, "a remote is no member")
  }

  @Test func `without streams messages are posted`() throws {
    let one = try TestMember(id: 1)
    let two = try TestMember(id: 2)
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    // Two does not know one, as after one was added to the cluster while two was away.
    one.transport.add(2, urls: [try two.url])
    one.transport.send([Message(kind: .append, to: 2, from: 1, term: 1, logTerm: 1, index: 1)])
    try wait("it was posted") { two.now.messages.count == 1 }
    #expect(one.transport.status(of: 2) != nil)
  }

  @Test func `status, removal and return`() throws {
    let (one, two) = try pair()
    defer { #expect(throws: Never.self) { try one.stop() } }
    let since = try #require(one.transport.status(of: 2)?.activeSince)
    #expect(since <= NIODeadline.now().uptimeNanoseconds)
    #expect(one.transport.statuses.map(\.id) == [2])
    one.transport.remove(2)
    try wait("it is told") {
      two.now.notices.contains { if case .removedFromCluster(by: 1) = $0 { true } else { false } }
    }
    #expect(one.transport.status(of: 2) == nil)
    try two.stop()
  }

  @Test func `a peer that is gone is inactive, and unreachable when sent to`() throws {
    let (one, two) = try pair(timeouts: PeerTimeouts(unchecked: 500))
    defer { #expect(throws: Never.self) { try one.stop() } }
    try two.stop()
    try wait("it is inactive") { one.transport.status(of: 2)?.isActive == false }
    one.transport.send([Message(kind: .heartbeat, to: 2, from: 1, term: 1)])
    try wait("it is unreachable") { one.now.unreachable.contains(2) }
    #expect(one.transport.status(of: 2)?.failure != nil)
  }

  @Test func `the next URL is tried when one fails`() throws {
    let one = try TestMember(id: 1)
    let two = try TestMember(id: 2)
    defer {
      #expect(throws: Never.self) { try one.stop() }
      #expect(throws: Never.self) { try two.stop() }
    }
    two.transport.add(1, urls: [try one.url])
    one.transport.add(2, urls: [try #require(PeerURL("http://127.0.0.1:1")), try two.url])
    try wait("it is active") { one.transport.status(of: 2)?.isActive == true }
    try waitForStreams(one, 4)
  }
}
