public import Disk
public import Model
public import Raft
public import Replica
public import Store
public import WriteAheadLog

/// What can happen to a `Node`.
public enum NodeInput: Sendable {
  case replica(ReplicaInput)
  /// The committer made a generation durable, or deleted compacted rows.
  case committed(CommitReport)
  /// The store has another data file in use: what still holds the old one lets go.
  case dataFileReplaced
  /// Somebody waits for what is applied to be committed: do not let the interval run out first.
  case commitSoon
  /// Somebody begins to watch, or nobody does any more: whether `NodeOutputs.events` is wanted. Each beginning is
  /// answered there with where the feed stands.
  case watched(Bool)
  /// Damage was found in this member's data: CORRUPT is raised through the log.
  case damaged
  /// A `NodeNotice.prepareLog` was carried out.
  case logPrepared(PreparedSegments)
  /// A client's wish to change the members. Answered when the change is applied, or refused.
  case changeMembers(Ticket, MembershipRequest)
  /// What members say that they run ("3.7.0"), this one left out: whenever the edge has asked all that it can reach.
  case memberVersions([MemberVersion])
  /// What another member's `NodeNotice.digest` said.
  case peerDigest(from: UInt64, StateDigest)
  /// A snapshot is complete on this member's disk.
  case snapshotReceived(ReceivedSnapshot)
  /// `NodeNotice.installSnapshot` was carried out.
  case snapshotInstalled(StoreRecovery)
  /// `NodeNotice.sendSnapshot` was carried out, or could not be.
  case snapshotSent(OutgoingSnapshot, succeeded: Bool)
  /// Returned by `NodeWork`.
  case snapshotExported(Result<ExportedSnapshot, SnapshotExportError>)
}

/// The one answer to a ticket.
public enum Answer: Sendable {
  /// The command was applied; `body` is the encoded response without its header.
  case applied(Ticket, headerRevision: Int64, body: [UInt8])
  case failed(Ticket, ClientError)
  /// A read made on a view taken from now on is linearizable.
  case readReady(Ticket)
  case lease(Ticket, LeaseAnswer)

  public var ticket: Ticket {
    switch self {
    case .applied(let ticket, _, _), .failed(let ticket, _), .readReady(let ticket), .lease(let ticket, _):
      ticket
    }
  }
}

/// Something the surroundings should know or do.
public enum NodeNotice: Sendable {
  case leadershipChanged(Leadership)
  /// The member has told the cluster who it is: it may serve clients.
  case published
  /// The committer has work.
  case commitReady
  /// Slow file work of the log, to be run beside the core thread and handed back as `logPrepared`.
  case prepareLog(SegmentPreparation)
  /// That work met an error; the log goes on without its result and asks again.
  case logPreparationFailed(LogError)
  /// Every row that a compaction at this revision removes is gone.
  case compactionFinished(Int64)
  /// A peer sent what no correct peer sends; nothing was changed by it.
  case messageRefused(from: UInt64, kind: Message.Kind, MessageFault)
  /// Only the leader can answer: ask it (`ReplicaInput.leaseAsked`), and answer the ticket.
  case askLeader(Ticket, LeaseQuestion, leader: UInt64)
  /// The members there are now, with all that is known of them, and those removed since the last time.
  case membersChanged([MemberRecord], removed: [UInt64])
  /// This member is no member any more: it has to stop, and its data is of no use.
  case removedFromCluster
  /// Slow work, to be run beside the core thread.
  case work(NodeWork)
  /// Stream the file to `message.to`, then report `snapshotSent`.
  case sendSnapshot(OutgoingSnapshot)
  /// No snapshot could be written for a member that needs one; it is tried again.
  case snapshotFailed(SnapshotExportError)
  /// Let the committer put the snapshot in the place of the store (`Committer.install`, on its thread), then report
  /// `snapshotInstalled`. An error ends the process: the log waits for it.
  case installSnapshot(SnapshotInstallation)
  /// The store's content is another one now: what was derived from it is to be derived anew.
  case storeReplaced(StoreRecovery)
  /// To be told to all other members.
  case digest(StateDigest)
  /// Members have other data than others. CORRUPT was proposed for each that is named.
  case diverged(Divergence)
  /// Automatic compaction began, ended or failed; nothing is to be done.
  case autoCompaction(AutoCompaction.Event, AutoCompactionPolicy)
  /// A command took longer to apply than it should; nothing is to be done.
  case slowApply(nanoseconds: UInt64, index: UInt64)
}

/// What a `Node` wants done; reused from call to call. Everything in it may leave at once: nothing is put here that
/// waits for a sync.
public struct NodeOutputs: Sendable {
  /// The events of what was applied, while somebody watches; to be handed on before the answers, so that no client hears
  /// of a change before its watchers can.
  public var events: [EventBatch] = []
  public var answers: [Answer] = []
  public var messages: [Message] = []
  public var notices: [NodeNotice] = []

  public init() {}

  public mutating func removeAll() {
    events.removeAll(keepingCapacity: true)
    answers.removeAll(keepingCapacity: true)
    messages.removeAll(keepingCapacity: true)
    notices.removeAll(keepingCapacity: true)
  }
}

/// Why a node cannot go on; each ends the process, and a restart replays what is durable.
public enum NodeError: Error, Sendable, CustomStringConvertible {
  case store(StoreError)
  case log(LogError)
  /// A committed entry that is no message of its kind: written by a fault, not by a client.
  case undecodableEntry(index: UInt64, reason: String)
  /// The log ends before what the store has applied.
  case storeAheadOfLog(appliedIndex: UInt64, lastIndex: UInt64)
  /// The log no longer reaches back to what the store has applied.
  case gapBetweenStoreAndLog(appliedIndex: UInt64, firstIndex: UInt64)
  /// The log's term or commit index does not fit its entries: it was written by a fault.
  case inconsistentLog(HardState, lastIndex: UInt64)
  /// The store's configuration cannot be read.
  case unreadableConfiguration
  /// The log was begun anew at a received snapshot that is not in the store, and its file cannot be installed.
  case snapshotMissing(SnapshotMetadata, appliedIndex: UInt64, file: String?)
  case snapshotNotInstalled(SnapshotInstallError)
  /// The directory of snapshots cannot be put in order.
  case snapshotDirectory(DiskError)

  public var description: String {
    switch self {
    case .store(let error): error.description
    case .log(let error): error.description
    case .undecodableEntry(let index, let reason): "log entry \(index) cannot be decoded: \(reason)"
    case .storeAheadOfLog(let applied, let last):
      "the write-ahead log ends at index \(last), but the store has applied index \(applied)"
    case .gapBetweenStoreAndLog(let applied, let first):
      "the write-ahead log begins at index \(first), but the store has applied only index \(applied)"
    case .inconsistentLog(let state, let last):
      "the write-ahead log ends at index \(last), but its hard state is term \(state.term), commit \(state.commit)"
    case .unreadableConfiguration: "the cluster configuration in the store cannot be read"
    case .snapshotMissing(let metadata, let applied, let file):
      "the write-ahead log begins at a snapshot of index \(metadata.index), but the store has applied only index "
        + "\(applied), and the snapshot \(file.map { "\($0) " } ?? "")is missing"
    case .snapshotNotInstalled(let error): "the received snapshot cannot be installed: \(error)"
    case .snapshotDirectory(let error): "snapshots: \(error)"
    }
  }
}

/// What a `Node` is told once.
public struct NodeOptions: Sendable {
  public var replica: ReplicaConfiguration
  /// A filling generation goes to the committer when it is this old (nanoseconds) or this large (bytes).
  public var commitIntervalNanoseconds: UInt64
  public var generationBytes: Int
  /// While the committer still works on the last generation, apply stops when the filling one has this many bytes:
  /// committed entries wait in the log, and proposals are refused when too many do.
  public var generationBytesMax: Int
  /// Log entries kept behind the store's durable index (--snapshot-catchup-entries).
  public var catchUpEntries: UInt64
  /// More of them are kept for members that are catching up while the disk has room, until the log's files have this many bytes.
  public var logHoldBytesMax = 2 << 30
  /// Bytes of a segment of the write-ahead log.
  public var logSegmentBytes: Int
  public var eventFeed: EventFeedLimits
  /// `--quota-backend-bytes`; nil for no limit.
  public var quotaBytes: Int64?
  /// Nil: history is compacted only when a client asks for it.
  public var autoCompaction: AutoCompactionPolicy?
  /// Monotonic nanoseconds, read to measure how long commands take to apply and for nothing else.
  public var stopwatch: @Sendable () -> UInt64 = { 0 }
  /// Commands that take longer count as slow (--warning-apply-duration).
  public var slowApplyNanoseconds: UInt64 = 100_000_000
  /// Nil: snapshots are neither sent nor received.
  public var snapshots: SnapshotPlace?
  /// How much the data file may grow while a snapshot is written for another member, in bytes; then it is given up.
  public var snapshotGrowthBytesMax: Int64 = 16 << 30
  /// `--force-new-cluster`: take all other members out of the configuration at the start.
  public var forcesNewCluster = false
  /// `--strict-reconfig-check`.
  public var isReconfigurationStrict = true
  /// `--max-learners`.
  public var learnersMax = 1
  /// How many entries lie between two applied indexes at which members are compared, whatever time it takes.
  public var digestInterval: UInt64 = 100_000
  /// For how long members may go without being compared, while anything is applied.
  public var comparisonIntervalNanoseconds: UInt64 = 60_000_000_000
  /// Sees every executed entry, in order: for checks.
  public var recorder: (@Sendable (Entry) -> Void)?

  public init(
    replica: ReplicaConfiguration, commitIntervalNanoseconds: UInt64 = 1_000_000_000,
    generationBytes: Int = 8 << 20, generationBytesMax: Int = 64 << 20, catchUpEntries: UInt64 = 5_000,
    logSegmentBytes: Int = 32 << 20, eventFeed: EventFeedLimits = EventFeedLimits(),
    quotaBytes: Int64? = nil, autoCompaction: AutoCompactionPolicy? = nil
  ) {
    precondition(generationBytes <= generationBytesMax)
    self.replica = replica
    self.commitIntervalNanoseconds = commitIntervalNanoseconds
    self.generationBytes = generationBytes
    self.generationBytesMax = generationBytesMax
    self.catchUpEntries = catchUpEntries
    self.logSegmentBytes = logSegmentBytes
    self.eventFeed = eventFeed
    self.quotaBytes = quotaBytes
    self.autoCompaction = autoCompaction
  }
}
