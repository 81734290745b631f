import Model
import Primitives
import Wire

/// One Campaign call. Confined to its event loop.
final class CampaignAttempt: CallWork, @unchecked Sendable {
  private let front: LoopFrontend
  private let call: RPCCall
  private let value: [UInt8]
  private var isOver = false
  private var wait: QueueWait?
  private var leader = LeaderKey()
  /// Of the response: that of having become a candidate, not of having won.
  private var headerRevision: Int64 = 0

  init(_ front: LoopFrontend, _ call: RPCCall, value: [UInt8]) {
    self.front = front
    self.call = call
    self.value = value
  }

  func start(name: [UInt8], lease: Int64) {
    front.withSession(lease) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error): fail(error)
      case .success(let lease): enter(name, SessionKey(name: name, lease: lease))
      }
    }
  }

  private func enter(_ name: [UInt8], _ key: SessionKey) {
    front.transact(key.enter(value: value, andOldest: false)) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error): fail(error)
      case .success(let transaction):
        headerRevision = transaction.revision
        leader = LeaderKey(name: name, key: key.key, revision: transaction.revision, lease: key.lease)
        guard !transaction.succeeded else { return waitForTurn(key.prefix) }
        guard let own = transaction.ranges.first?.keyValues.first else { return fail(.electionNotLeader) }
        leader.revision = own.createRevision
        if own.value == value { waitForTurn(key.prefix) } else { proclaim(key.prefix) }
      }
    }
  }

  /// A candidate already, with another value.
  private func proclaim(_ prefix: [UInt8]) {
    var put = PutRequest(key: leader.key, value: value)
    put.lease = leader.lease
    front.transact(SessionKey.guarded(leader.key, created: leader.revision, .put(put))) { [self] outcome in
      guard !isOver else { return }
      switch outcome {
      case .failure(let error):
        withdraw()
        fail(error)
      case .success(let transaction) where !transaction.succeeded: fail(.electionNotLeader)
      case .success: waitForTurn(prefix)
      }
    }
  }

  private func waitForTurn(_ prefix: [UInt8]) {
    let wait = QueueWait(front, call, prefix: prefix, createdUpTo: leader.revision - 1)
    self.wait = wait
    wait.start { [self] outcome in
      self.wait = nil
      switch outcome {
      case .failure(let error): fail(error)
      case .success: succeed()
      }
    }
  }

  private func succeed() {
    isOver = true
    var writer = front.builder.begin(revision: headerRevision, term: front.term, reserving: 64)
    leader.append(2, to: &writer)
    call.respond(writer.bytes)
  }

  private func fail(_ error: ClientError) {
    isOver = true
    front.failLocally(call, error)
  }

  /// Is no candidate any more.
  private func withdraw() {
    let deletion = RequestOperation.deleteRange(DeleteRangeRequest(key: leader.key))
    // If it fails, the lease ends the candidacy.
    front.transact(SessionKey.guarded(leader.key, created: leader.revision, deletion)) { _ in }
  }

  func cancel() {
    guard !isOver else { return }
    isOver = true
    guard let wait else { return }
    wait.cancel()
    self.wait = nil
    withdraw()
  }
}
