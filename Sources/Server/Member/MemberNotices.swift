internal import Node
internal import Raft
internal import Store
internal import WriteAheadLog

/// What the main thread waits for.
enum LifeEvent: Sendable {
  /// The member has told its cluster who it is: it may serve clients.
  case published
  case signal(Int32)
  /// It is no member any more.
  case removed
}

/// Tells the main thread what the member has come to, and logs what happens to it.
final class MemberNotices: Sendable {
  private let life: Inbox<LifeEvent>
  private let expectedApply: GoDuration
  /// Of lines that other members can cause.
  private let limit = LineLimit()

  init(_ life: Inbox<LifeEvent>, expectedApply: GoDuration) {
    self.life = life
    self.expectedApply = expectedApply
  }

  /// From the core thread.
  func take(_ notice: NodeNotice, _ logger: Logger) {
    switch notice {
    case .published: life.push(.published)
    case .removedFromCluster: life.push(.removed)
    case .leadershipChanged(let leadership):
      let record = LogRecord(
        .info, "raft role changed",
        [
          "role": .text("\(leadership.role)"), "term": .integer(Int64(clamping: leadership.term)),
          "leader": .text(ClusterIdentity.hexadecimal(leadership.leader)),
        ])
      logLimited(record, from: "", logger)
    case .messageRefused(let from, let kind, let fault):
      let sender = ClusterIdentity.hexadecimal(from)
      let record = LogRecord(
        .warn, "refused a peer's message",
        ["from": .text(sender), "kind": .text("\(kind)"), "error": .text(fault.description)])
      logLimited(record, from: sender, logger)
    case .logPreparationFailed(let error):
      logger.warn(
        "the next segment of the write-ahead log cannot be prepared", ["error": .text(error.description)])
    case .autoCompaction(let event, let policy): logger.log(MaintenanceLog.record(event, policy))
    case .slowApply(let took, let index):
      logger.log(MaintenanceLog.slowApply(took, index: index, expected: expectedApply))
    case .snapshotFailed(let error):
      logger.warn("no snapshot could be written for a member", ["error": .text(error.description)])
    case .diverged(let divergence): logLimited(MaintenanceLog.diverged(divergence), from: "", logger)
    case .storeReplaced(let recovery):
      logger.info(
        "applied a snapshot of another member",
        [
          "applied-index": .unsigned(recovery.appliedIndex), "current-revision": .integer(recovery.revision),
        ])
    case .commitReady, .compactionFinished, .prepareLog, .askLeader, .membersChanged, .work, .sendSnapshot,
      .installSnapshot, .digest:
      break
    }
  }

  /// For lines that other members cause: by ever later terms, malformed messages, digests.
  private func logLimited(_ record: LogRecord, from sender: String, _ logger: Logger) {
    if let admitted = limit.admit(record, from: sender) { logger.log(admitted) }
  }
}
