import Model
import Node
import Primitives
import Raft
import Replica
import Store
import Testing

/// What a node tells watchers: every revision in exactly one batch, from where the feed began.
struct EventFeedTests {
  private func options(_ feed: EventFeedLimits, generationBytes: Int) -> NodeOptions {
    let replica = ReplicaConfiguration(
      raft: RaftConfiguration(memberID: SimulatedFiles.memberID, seed: 1),
      clusterID: SimulatedFiles.clusterID,
      startMilliseconds: 1, name: "n", clientURLs: ["http://127.0.0.1:2379"], clusterVersion: "3.7.0")
    return NodeOptions(
      replica: replica, generationBytes: generationBytes, generationBytesMax: generationBytes,
      logSegmentBytes: 64 << 10, eventFeed: feed)
  }

  private func start(_ feed: EventFeedLimits, generationBytes: Int = 1 << 20) throws -> RunningNode {
    var store = StoreOptions()
    store.mapBytes = 1 << 28
    let node = try RunningNode(
      try SimulatedFiles(seed: 1), options: options(feed, generationBytes: generationBytes),
      storeOptions: store, saltSeed: 1, now: 0)
    _ = try node.drive([])
    return node
  }

  private func input(_ operation: RaftCommand.Operation) -> NodeInput {
    .replica(
      .propose(Proposal(ticket: Ticket(1), operation: RaftCommand(operation: operation).encoded())))
  }

  private func randomOperation(_ random: inout SeededRandom) -> RaftCommand.Operation {
    let key = { (random: inout SeededRandom) in [UInt8(Int.random(in: 1...20, using: &random))] }
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return .deleteRange(DeleteRangeRequest(key: key(&random)))
    case 1: return .deleteRange(DeleteRangeRequest(key: key(&random), rangeEnd: [0]))
    case 2:
      var transaction = TransactionRequest()
      for number in 1...UInt8(Int.random(in: 2...12, using: &random)) {
        transaction.success.append(.put(PutRequest(key: [number], value: [1, 2, 3])))
      }
      return .transaction(transaction)
    case 3: return .range(RangeRequest(key: key(&random)))
    default:
      let value = [UInt8](repeating: 7, count: Int.random(in: 0...60, using: &random))
      return .put(PutRequest(key: key(&random), value: value))
    }
  }

  private struct Seen: Equatable {
    var main: Int64
    var sub: Int32
    var event: [UInt8]

    init(_ batch: EventBatch, _ item: EventBatch.Item) {
      main = item.mainRevision
      sub = item.subRevision
      event = Array(batch.bytes[item.event])
    }
  }

  /// Follows the feed of a node, and compares each batch with the history.
  private final class Follower {
    let node: RunningNode
    var isWatched = false
    var next: Int64 = 0
    /// Events that came, and batches that left theirs to the history.
    var carried = 0
    var left = 0

    init(_ node: RunningNode) { self.node = node }

    func drive(_ inputs: [NodeInput]) throws {
      let outputs = try node.drive(inputs)
      guard isWatched else {
        #expect(outputs.events.isEmpty)
        return
      }
      for batch in outputs.events {
        #expect(batch.firstRevision == next)
        #expect(batch.isComplete || batch.items.isEmpty)
        if batch.isComplete {
          let expected = try history(batch.firstRevision, batch.lastRevision)
          #expect(batch.items.map { Seen(batch, $0) } == expected)
          carried += expected.count
        } else {
          left += 1
        }
        next = batch.lastRevision + 1
      }
      #expect(next == (try revision()) + 1)
    }

    func commit() throws {
      repeat {
        while let report = try node.opened.committer.commitNext() { try drive([.committed(report)]) }
        _ = try node.opened.node.freeze()
      } while try node.opened.committer.hasWork
    }

    func revision() throws -> Int64 {
      let view = try node.store.view()
      defer { view.end() }
      return view.revision
    }

    private func history(_ first: Int64, _ last: Int64) throws -> [Seen] {
      guard first <= last else { return [] }
      guard
        case .events(let batch) = try node.store.history(
          from: first, of: .all, bytesMax: .max, revisionsMax: last - first + 1)
      else {
        Issue.record("nothing was compacted")
        return []
      }
      #expect(batch.lastRevision == last)
      return batch.items.map { Seen(batch, $0) }
    }
  }

  /// Batches laid end to end are the history, whatever their limits; what they do not carry, they name.
  @Test(arguments: 0..<8 as Range<UInt64>)
  func batchesAreTheHistory(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let bytes = [30, 200, 1 << 20][Int(seed % 3)]
    let follower = Follower(
      try start(
        EventFeedLimits(
          batchBytes: bytes, batchBytesMax: bytes * 4,
          runBytes: bytes * Int.random(in: 1...20, using: &random)),
        generationBytes: 8 << 10))
    for _ in 0..<100 {
      var inputs = (0..<Int.random(in: 1...12, using: &random)).map { _ in input(randomOperation(&random)) }
      if random.chance(1, in: 6) {
        follower.isWatched = random.chance(3, in: 4)
        inputs.insert(.watched(follower.isWatched), at: 0)
        if follower.isWatched { follower.next = try follower.revision() + 1 }
      }
      try follower.drive(inputs)
      if random.chance(1, in: 10) { try follower.commit() }
    }
    #expect(follower.carried > 50)
    #expect(bytes > 30 || follower.left > 0, "small limits are met")
    #expect(bytes < 1 << 20 || follower.left == 0, "large ones are not")
  }

  /// A watcher may have been created at a revision that was passed before the feed began.
  @Test func aBeginningSaysWhereTheFeedStands() throws {
    let node = try start(EventFeedLimits())
    let first = try node.drive([input(.put(PutRequest(key: [1], value: [2])))])
    #expect(first.events.isEmpty && first.answers.count == 1)
    for _ in 0..<2 {
      let begun = try node.drive([.watched(true)])
      #expect(begun.events.map(\.firstRevision) == [3] && begun.events.map(\.lastRevision) == [2])
    }
    let second = try node.drive([input(.put(PutRequest(key: [1], value: [3])))])
    #expect(second.events.map(\.firstRevision) == [3] && second.events.map(\.lastRevision) == [3])
    #expect(second.events.first?.items.count == 1)
    let ended = try node.drive([.watched(false), input(.put(PutRequest(key: [1], value: [3])))])
    #expect(ended.events.isEmpty)
  }
}
