import Model
import Node
import Replica
import Synchronization

/// Entries that a member executed and nobody has looked at yet.
final class Recorder: Sendable {
  private let entries = Mutex<[Entry]>([])

  func add(_ entry: Entry) { entries.withLock { $0.append(entry) } }

  func take() -> [Entry] {
    entries.withLock { entries in
      defer { entries.removeAll() }
      return entries
    }
  }
}

/// One member of a simulated cluster, running or not.
final class ClusterMember {
  let id: UInt64
  let files: ClusterFiles
  let recorder = Recorder()
  /// Empty for one that joins a cluster which is there already.
  let initialMembers: [Member]
  var node: ClusterNode?
  var inbox: [NodeInput] = []
  var isProcessScheduled = false
  var isCommitScheduled = false
  var isServing = false
  /// Told by its own log, or by others, that it is no member.
  var isRemoved = false
  /// Whom it knows to be removed.
  var knownRemoved: Set<UInt64> = []
  /// Counts its starts: events of an earlier life are void.
  var life = 0
  /// It does nothing before this time.
  var pausedUntil: UInt64 = 0
  /// The next revision of its feed of events; nil until it says where it begins.
  var nextEventRevision: Int64?
  var receivers: UInt64 = 0

  init(id: UInt64, seed: UInt64, initialMembers: [Member]) throws {
    self.id = id
    files = try ClusterFiles(memberID: id, seed: seed)
    self.initialMembers = initialMembers
  }

  /// The process is gone.
  func takeDown() {
    node = nil
    inbox.removeAll()
    isProcessScheduled = false
    isCommitScheduled = false
    isServing = false
    pausedUntil = 0
    nextEventRevision = nil
  }
}
