import Model
import Primitives
import Raft

/// A member on a disk that forgets: writes are durable only once `completeWrites` says so, and a crash keeps an
/// arbitrary prefix of the rest.
final class SimulatedMember {
  let id: UInt64
  var machine: RaftMachine
  var effects: [RaftEffect] = []

  /// What survives a crash: entries from `diskBase + 1` on.
  private(set) var disk: [Entry] = []
  private(set) var diskBase: UInt64
  private var diskBaseTerm: UInt64
  private(set) var diskHardState: HardState
  /// Given to the disk and not yet durable, oldest first.
  private(set) var writes: [LogAppend] = []
  /// Committed entries not applied yet.
  private(set) var toApply: [Entry] = []
  private(set) var appliedIndex: UInt64
  private(set) var confState: ConfState
  /// The part of it that survives a crash.
  private var store: (index: UInt64, confState: ConfState)
  private(set) var commitSeen: UInt64
  /// The members that bootstrap the cluster, this one among them; otherwise it starts with what it is given, or joins.
  private let bootstrap: [UInt64]
  private var configuration: RaftConfiguration
  /// Whether peers may be sent what is only on the disk any more, and what was asked of it.
  var readsDisk = false {
    didSet { if readsDisk { handle(.logKept(from: diskBase + 1)) } }
  }
  private var diskReads: [LogRead] = []
  private(set) var diskReadsServed = 0

  /// A member of a cluster that began before, at `baseIndex`.
  convenience init(
    id: UInt64, voters: [UInt64], baseIndex: UInt64 = 0, electionTicks: Int = 10,
    limits: RaftLimits = RaftLimits(), seed: UInt64 = 1,
    configure: (inout RaftConfiguration) -> Void = { _ in }
  ) {
    var configuration = RaftConfiguration(
      memberID: id, electionTicks: electionTicks, seed: seed, limits: limits)
    configure(&configuration)
    self.init(configuration, confState: ConfState(voters: voters), baseIndex: baseIndex, bootstrap: [])
  }

  init(
    _ configuration: RaftConfiguration, confState: ConfState, baseIndex: UInt64, bootstrap: [UInt64]
  ) {
    id = configuration.memberID
    self.configuration = configuration
    self.bootstrap = bootstrap
    diskBase = baseIndex
    diskBaseTerm = baseIndex == 0 ? 0 : 1
    diskHardState = HardState(term: diskBaseTerm, vote: 0, commit: baseIndex)
    appliedIndex = baseIndex
    self.confState = confState
    store = (baseIndex, confState)
    commitSeen = baseIndex
    let recovery = RaftRecovery(
      hardState: diskHardState, compactedIndex: baseIndex, compactedTerm: diskBaseTerm, entries: [],
      confState: confState, appliedIndex: baseIndex)
    machine = RaftMachine(configuration: configuration, recovery: recovery)
    bootstrapIfNew()
  }

  private func bootstrapIfNew() {
    if !bootstrap.isEmpty && machine.lastIndex == 0 { machine.bootstrap(bootstrap.map { ($0, []) }) }
  }

  func handle(_ input: RaftInput) { machine.handle(input, &effects) }

  func propose(_ data: [UInt8]) -> ProposalOutcome { machine.propose(data, &effects) }

  func propose(_ change: ConfChangeV2) -> ProposalOutcome { machine.propose(change, &effects) }

  /// Ends the batch and takes its effects: writes and committed entries stay here, the rest is returned.
  func flush() -> [RaftEffect] {
    serveDiskReads()
    machine.flush(&effects)
    let taken = effects
    effects.removeAll()
    for effect in taken {
      switch effect {
      case .append(let append): writes.append(append)
      case .committed(let entries): toApply.append(contentsOf: entries)
      case .readLog(let read): diskReads.append(read)
      default: break
      }
    }
    commitSeen = max(commitSeen, machine.commitIndex)
    return taken
  }

  private func serveDiskReads() {
    let reads = diskReads
    diskReads.removeAll()
    for read in reads {
      guard let previous = durable(read.previous) else {
        handle(.logRead(read, nil))
        continue
      }
      var entries: [Entry] = []
      var bytes = 0
      for index in (read.previous + 1)...read.last {
        guard let entry = durable(index) else { preconditionFailure("a read beyond the disk") }
        bytes += entry.encodedSize
        if bytes > read.bytesMax && !entries.isEmpty { break }
        entries.append(entry)
      }
      diskReadsServed += 1
      handle(.logRead(read, LogSlice(previousTerm: previous.term, entries: entries)))
    }
  }

  /// Makes the oldest `count` writes durable and reports the last of them alone: completions may be merged.
  func completeWrites(_ count: Int) {
    let done = writes.prefix(count)
    guard let last = done.last else { return }
    for write in done { persist(write) }
    writes.removeFirst(done.count)
    handle(.appended(sequence: last.sequence))
  }

  private func persist(_ write: LogAppend) {
    if let snapshot = write.snapshot {
      disk.removeAll()
      diskBase = snapshot.index
      diskBaseTerm = snapshot.term
      toApply.removeAll { $0.index <= snapshot.index }
      appliedIndex = max(appliedIndex, snapshot.index)
      confState = snapshot.confState
      store = (appliedIndex, confState)
    }
    if let first = write.entries.first {
      disk.removeLast(disk.count - Int(first.index - diskBase - 1))
      disk.append(contentsOf: write.entries)
    }
    diskHardState = write.hardState
  }

  func apply(_ count: Int) -> [Entry] {
    let applied = Array(toApply.prefix(count))
    guard let last = applied.last else { return [] }
    toApply.removeFirst(applied.count)
    for entry in applied {
      precondition(entry.index == appliedIndex + 1, "each entry once, in order")
      appliedIndex = entry.index
      apply(changeOf: entry)
    }
    handle(.applied(index: last.index))
    return applied
  }

  private func apply(changeOf entry: Entry) {
    var next: ConfState?
    switch entry.kind {
    case .normal: return
    case .confChange: next = (try? ConfChange(decoding: entry.data)).flatMap { confState.applying($0) }
    case .confChangeV2: next = (try? ConfChangeV2(decoding: entry.data)).flatMap { confState.applying($0) }
    }
    guard let next else { preconditionFailure("a change that does not fit was committed") }
    confState = next
    machine.adoptConfiguration(next, &effects)
  }

  /// The entry on the disk at `index`, if it is there.
  func durable(_ index: UInt64) -> Entry? {
    guard index > diskBase, index <= diskBase + UInt64(disk.count) else { return nil }
    return disk[Int(index - diskBase - 1)]
  }

  /// Whether `entry`, which is committed, would survive a crash here, as itself or within a snapshot.
  func holds(_ entry: Entry) -> Bool { entry.index <= diskBase || durable(entry.index) == entry }

  func commitStore() { store = (appliedIndex, confState) }

  /// Stops in the middle of everything and starts again from the disk, on which `survivingWrites` of the
  /// unfinished writes happened to arrive.
  func crash(survivingWrites: Int, seed: UInt64) {
    for write in writes.prefix(survivingWrites) { persist(write) }
    writes.removeAll()
    toApply.removeAll()
    effects.removeAll()
    (appliedIndex, confState) = store
    configuration.seed = seed
    let recovery = RaftRecovery(
      hardState: diskHardState, compactedIndex: diskBase, compactedTerm: diskBaseTerm, entries: disk,
      confState: confState, appliedIndex: appliedIndex)
    machine = RaftMachine(configuration: configuration, recovery: recovery)
    diskReads.removeAll()
    if readsDisk { handle(.logKept(from: diskBase + 1)) }
    bootstrapIfNew()
    commitSeen = machine.commitIndex
  }
}
