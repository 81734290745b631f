internal import Disk
public import Model
internal import Snapshot
public import Store

/// A finished snapshot file that is to be streamed to a member; its fate is reported by `NodeInput.snapshotSent`.
public struct OutgoingSnapshot: Hashable, Sendable {
  /// To the member, with what the file holds.
  public var message: Message
  public var path: String
  public var bytes: Int
}

/// Slow file work, to be run beside the core thread; what it returns is to be handed to the node.
public enum NodeWork: Sendable {
  /// Writes the last committed state to a file.
  case exportSnapshot(Store, SnapshotPlace, path: String, fileGrowthBytesMax: Int64)
  case removeSnapshot(SnapshotPlace, path: String)

  public func run() -> NodeInput? {
    switch self {
    case .exportSnapshot(let store, let place, let path, let growth):
      do throws(SnapshotExportError) {
        let (header, summary) = try store.writeSnapshotAndHeader(
          disk: place.disk, to: path, fileGrowthBytesMax: growth, pacing: .besideLog
        ) { _ in }
        return .snapshotExported(
          .success(ExportedSnapshot(metadata: header.metadata, path: path, bytes: summary.bytes)))
      } catch {
        return .snapshotExported(.failure(error))
      }
    case .removeSnapshot(let place, let path):
      // One that cannot be removed stays until the next start.
      try? place.disk.remove(path)
      return nil
    }
  }
}

/// A snapshot file of this member's own state.
public struct ExportedSnapshot: Hashable, Sendable {
  public var metadata: SnapshotMetadata
  public var path: String
  public var bytes: Int
}

/// A leader's snapshots for members that its log no longer reaches: one file is made at a time, from a committed state
/// that is recent enough, and sent to everyone who waits for it; it goes when the last of them has it.
struct SnapshotSender {
  enum Step {
    /// The committer is to be asked for a commit.
    case commitWanted
    case work(NodeWork)
    case send(OutgoingSnapshot)
    /// Raft is to be told that it came to nothing.
    case failed(peer: UInt64)
  }

  private enum State {
    case idle
    /// For a commit that reaches this index.
    case waiting(UInt64)
    case exporting
  }

  private struct File {
    var exported: ExportedSnapshot
    /// How many are being sent it.
    var users: Int
  }

  private let store: Store
  private let place: SnapshotPlace
  private let fileGrowthBytesMax: Int64
  /// A file this much older than the state asked for still serves: the log reaches back that far.
  private let ageMax: UInt64
  /// The store's state up to here is committed.
  private var committedIndex: UInt64
  private var state = State.idle
  /// Messages that wait for the file that is being made, at most one for each peer.
  private var waiting: [Message] = []
  private var files: [File] = []
  private var exports: UInt64 = 0

  init(store: Store, place: SnapshotPlace, catchUpEntries: UInt64, fileGrowthBytesMax: Int64) {
    self.store = store
    self.place = place
    self.fileGrowthBytesMax = fileGrowthBytesMax
    ageMax = catchUpEntries / 2
    committedIndex = store.recovery.appliedIndex
  }

  /// Raft wants a snapshot sent.
  mutating func request(_ message: Message, _ steps: inout [Step]) {
    guard let wanted = message.snapshot else { return }
    if let position = files.lastIndex(where: { $0.exported.metadata.index + ageMax >= wanted.index }) {
      files[position].users += 1
      return steps.append(.send(outgoing(files[position].exported, message)))
    }
    waiting.removeAll { $0.to == message.to }
    waiting.append(message)
    guard case .idle = state else { return }
    state = .waiting(wanted.index)
    // Where nobody writes, no commit may follow: the last one may have to do.
    if committedIndex >= wanted.index { export(&steps) } else { steps.append(.commitWanted) }
  }

  /// The state up to `index` is committed.
  mutating func committed(_ index: UInt64, _ steps: inout [Step]) {
    committedIndex = index
    if case .waiting(let wanted) = state, index >= wanted { export(&steps) }
  }

  private mutating func export(_ steps: inout [Step]) {
    state = .exporting
    exports += 1
    steps.append(
      .work(
        .exportSnapshot(
          store, place, path: place.exportPath(number: exports), fileGrowthBytesMax: fileGrowthBytesMax)))
  }

  mutating func exported(_ result: Result<ExportedSnapshot, SnapshotExportError>, _ steps: inout [Step]) {
    let served = waiting
    waiting.removeAll()
    state = .idle
    switch result {
    case .success(let exported):
      // A leader that was deposed meanwhile has applied what its successor wrote: that is not its own to send.
      let valid = served.filter { $0.term >= exported.metadata.term }
      for message in served where message.term < exported.metadata.term {
        steps.append(.failed(peer: message.to))
      }
      guard !valid.isEmpty else { return steps.append(.work(.removeSnapshot(place, path: exported.path))) }
      files.append(File(exported: exported, users: valid.count))
      for message in valid { steps.append(.send(outgoing(exported, message))) }
    case .failure:
      for message in served { steps.append(.failed(peer: message.to)) }
    }
  }

  /// Somebody has it, or will not get it.
  mutating func sent(_ snapshot: OutgoingSnapshot, _ steps: inout [Step]) {
    guard let position = files.firstIndex(where: { $0.exported.path == snapshot.path }) else { return }
    files[position].users -= 1
    guard files[position].users == 0 else { return }
    files.remove(at: position)
    steps.append(.work(.removeSnapshot(place, path: snapshot.path)))
  }

  private func outgoing(_ exported: ExportedSnapshot, _ message: Message) -> OutgoingSnapshot {
    var message = message
    message.snapshot = exported.metadata
    return OutgoingSnapshot(message: message, path: exported.path, bytes: exported.bytes)
  }
}
