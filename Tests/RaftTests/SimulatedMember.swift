import Model
import Primitives
import Raft

/// A member on a disk that forgets: writes are durable only once `completeWrites` says so, and a crash keeps an
/// arbitrary prefix of the rest.
final class SimulatedMember {
  let id: UInt64
  let voters: [UInt64]
  var machine: RaftMachine
  var effects: [RaftEffect] = []

  /// What survives a crash. Entries start at index 1 unless the cluster began later.
  private(set) var disk: [Entry]
  private(set) var diskHardState: HardState
  private let baseIndex: UInt64
  private let baseTerm: UInt64
  /// Given to the disk and not yet durable, oldest first.
  private(set) var writes: [LogAppend] = []
  /// Committed entries not applied yet, then the index applied, and the part of it that survives a crash.
  private(set) var toApply: [Entry] = []
  private(set) var appliedIndex: UInt64
  private var durableAppliedIndex: UInt64
  private(set) var commitSeen: UInt64
  private let electionTicks: Int
  private let limits: RaftLimits

  init(
    id: UInt64, voters: [UInt64], baseIndex: UInt64 = 0, electionTicks: Int = 10,
    limits: RaftLimits = RaftLimits(),
    seed: UInt64 = 1
  ) {
    self.id = id
    self.voters = voters
    self.baseIndex = baseIndex
    self.electionTicks = electionTicks
    self.limits = limits
    baseTerm = baseIndex == 0 ? 0 : 1
    disk = []
    diskHardState = HardState(term: baseTerm, vote: 0, commit: baseIndex)
    appliedIndex = baseIndex
    durableAppliedIndex = baseIndex
    commitSeen = baseIndex
    let recovery = RaftRecovery(
      hardState: diskHardState, compactedIndex: baseIndex, compactedTerm: baseTerm, entries: [],
      confState: ConfState(voters: voters), appliedIndex: baseIndex)
    let configuration = RaftConfiguration(
      memberID: id, electionTicks: electionTicks, seed: seed, limits: limits)
    machine = RaftMachine(configuration: configuration, recovery: recovery)
  }

  func handle(_ input: RaftInput) { machine.handle(input, &effects) }

  func propose(_ data: [UInt8]) -> ProposalOutcome { machine.propose(data, &effects) }

  /// Ends the batch and takes its effects: writes and committed entries stay here, the rest is returned.
  func flush() -> [RaftEffect] {
    machine.flush(&effects)
    let taken = effects
    effects.removeAll()
    for effect in taken {
      switch effect {
      case .append(let append): writes.append(append)
      case .committed(let entries): toApply.append(contentsOf: entries)
      default: break
      }
    }
    commitSeen = max(commitSeen, machine.commitIndex)
    return taken
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
    if let first = write.entries.first {
      disk.removeLast(disk.count - Int(first.index - baseIndex - 1))
      disk.append(contentsOf: write.entries)
    }
    diskHardState = write.hardState
  }

  func apply(_ count: Int) -> [Entry] {
    let applied = Array(toApply.prefix(count))
    guard let last = applied.last else { return [] }
    toApply.removeFirst(applied.count)
    appliedIndex = last.index
    handle(.applied(index: last.index))
    return applied
  }

  /// The entry on the disk at `index`, if it is there.
  func durable(_ index: UInt64) -> Entry? {
    guard index > baseIndex, index <= baseIndex + UInt64(disk.count) else { return nil }
    return disk[Int(index - baseIndex - 1)]
  }

  func commitStore() { durableAppliedIndex = appliedIndex }

  /// Stops in the middle of everything and starts again from the disk, on which `survivingWrites` of the
  /// unfinished writes happened to arrive.
  func crash(survivingWrites: Int, seed: UInt64) {
    for write in writes.prefix(survivingWrites) { persist(write) }
    writes.removeAll()
    toApply.removeAll()
    effects.removeAll()
    appliedIndex = durableAppliedIndex
    let recovery = RaftRecovery(
      hardState: diskHardState, compactedIndex: baseIndex, compactedTerm: baseTerm, entries: disk,
      confState: ConfState(voters: voters), appliedIndex: appliedIndex)
    let configuration = RaftConfiguration(
      memberID: id, electionTicks: electionTicks, seed: seed, limits: limits)
    machine = RaftMachine(configuration: configuration, recovery: recovery)
    commitSeen = machine.commitIndex
  }
}
