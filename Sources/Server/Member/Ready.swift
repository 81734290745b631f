internal import Node
internal import Raft
internal import Store
internal import Synchronization
internal import WriteAheadLog

/// Waits until a member has told its cluster who it is, and logs what happens to its leadership.
final class Ready: Sendable {
  private let isPublished = Atomic<Bool>(false)
  private let wakes = Inbox<Void>()
  private let expectedApply: GoDuration

  init(expectedApply: GoDuration) { self.expectedApply = expectedApply }

  /// From the core thread.
  func take(_ notice: NodeNotice, _ logger: Logger) {
    switch notice {
    case .published:
      isPublished.store(true, ordering: .releasing)
      wakes.push(())
    case .leadershipChanged(let leadership):
      logger.info(
        "raft role changed",
        [
          "role": .text("\(leadership.role)"), "term": .integer(Int64(clamping: leadership.term)),
          "leader": .text(ClusterIdentity.hexadecimal(leadership.leader)),
        ])
    case .messageRefused(let from, let kind):
      logger.warn(
        "refused a peer's message",
        ["from": .text(ClusterIdentity.hexadecimal(from)), "kind": .text("\(kind)")])
    case .logPreparationFailed(let error):
      logger.warn(
        "the next segment of the write-ahead log cannot be prepared", ["error": .text(error.description)])
    case .autoCompaction(let event, let policy): logger.log(MaintenanceLog.record(event, policy))
    case .slowApply(let took, let index):
      logger.log(MaintenanceLog.slowApply(took, index: index, expected: expectedApply))
    case .snapshotFailed(let error):
      logger.warn("no snapshot could be written for a member", ["error": .text(error.description)])
    case .diverged(let digest, let members):
      logger.error(
        "members hold different data",
        [
          "applied-index": .unsigned(digest.index), "revision": .integer(digest.revision),
          "members": .text(members.map(ClusterIdentity.hexadecimal).joined(separator: ",")),
        ])
    case .commitReady, .compactionFinished, .prepareLog, .askLeader, .membersChanged, .removedFromCluster,
      .work, .sendSnapshot, .installSnapshot, .storeReplaced, .digest:
      break
    }
  }

  func wait() {
    var batch: [Void] = []
    while !isPublished.load(ordering: .acquiring) {
      _ = wakes.drain(into: &batch, until: monotonicNanoseconds() + 1_000_000_000)
      batch.removeAll()
    }
  }
}
