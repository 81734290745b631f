public import Disk
import Glibc
import Metrics
import Model
import NIOCore
import Primitives
import Snapshot
import Store
import Synchronization
import Wire

// Maintenance.Snapshot: a snapshot file is written at disk speed first and then sent as the client takes it, so that a
// slow client holds no transaction open.

extension LoopFrontend {
  func snapshot(_ call: RPCCall) {
    let context = self.context
    let download: SnapshotDownload
    do throws(StoreError) {
      let view = try self.view()
      download = SnapshotDownload(
        context: context,
        header: ResponseHeader(
          clusterID: context.clusterID, memberID: context.memberID, revision: view.revision, raftTerm: term),
        appliedIndex: view.appliedIndex)
    } catch {
      return fail(call, error)
    }
    askForCommit()
    StreamPump(
      call: call, context: context, produce: { download.next() }, release: { download.discard() }
    ).start()
  }
}

/// The files of snapshots that clients are fetching.
public enum SnapshotDownloads {
  fileprivate static let prefix = "download-"

  /// Removes what a process that was killed had not finished sending.
  public static func removeLeftovers(disk: any Disk, directory: String) throws(DiskError) {
    for name in try disk.list(directory) where name.hasPrefix(prefix) {
      try disk.remove("\(directory)/\(name)")
    }
  }
}

/// One client's snapshot: waits until all that was applied when it asked is committed, writes the file, hands it out in
/// pieces, and removes it. Used by one thread at a time.
private final class SnapshotDownload {
  private enum State {
    case waiting(attemptsLeft: Int)
    case sending(SnapshotStream)
  }

  private let context: FrontendContext
  private let header: ResponseHeader
  private let appliedIndex: UInt64
  private let path: String
  private let disk = PosixDisk()
  private let began = NIODeadline.now()
  private var state = State.waiting(attemptsLeft: 500)

  /// Pause between two looks at the committer, which is at most a commit interval behind.
  private static let waitMicroseconds: UInt32 = 10_000
  /// The data file may grow by this much while the copy is made; then it is given up.
  private static let fileGrowthBytesMax: Int64 = 16 << 30
  private static let count = Atomic<UInt64>(0)

  init(context: FrontendContext, header: ResponseHeader, appliedIndex: UInt64) {
    self.context = context
    self.header = header
    self.appliedIndex = appliedIndex
    let number = Self.count.wrappingAdd(1, ordering: .relaxed).newValue
    path = "\(context.temporaryDirectory)/\(SnapshotDownloads.prefix)\(number).snapshot"
  }

  func next() -> StreamPump.Step {
    do throws(SnapshotExportError) {
      while true {
        switch state {
        case .waiting(let attemptsLeft):
          try prepare(attemptsLeft)
        case .sending(var stream):
          let piece = try nextPiece(&stream)
          state = .sending(stream)
          return piece
        }
      }
    } catch {
      if case .store(let error) = error { context.report(error) }
      return .failure(ClientError(.internal, "etcdserver: \(error)"))
    }
  }

  private func prepare(_ attemptsLeft: Int) throws(SnapshotExportError) {
    do throws(StoreError) {
      if try context.store.committedIndex() < appliedIndex, attemptsLeft > 0 {
        state = .waiting(attemptsLeft: attemptsLeft - 1)
        usleep(Self.waitMicroseconds)
        return
      }
    } catch {
      throw .store(error)
    }
    _ = try context.store.writeSnapshot(
      disk: disk, to: path, fileGrowthBytesMax: Self.fileGrowthBytesMax, pacing: .besideLog,
      progress: { _ in })
    context.metrics.snapshots.observeShared(since: began)
    do throws(SnapshotError) {
      state = .sending(try SnapshotStream(disk: disk, path: path))
    } catch {
      throw .snapshot(error)
    }
  }

  private func nextPiece(_ stream: inout SnapshotStream) throws(SnapshotExportError) -> StreamPump.Step {
    do throws(SnapshotError) {
      guard let piece = try stream.next() else { return .end }
      var writer = ProtoWriter(reserving: piece.bytes.count + 64)
      writer.raw([UInt8](repeating: 0, count: RPCCall.messageHeadroom))
      writer.messageField(1, header)
      writer.uint64(2, UInt64(piece.remaining))
      writer.bytes(3, piece.bytes)
      writer.string(4, FrontendContext.clusterVersion)
      return .message(writer.bytes)
    } catch {
      throw .snapshot(error)
    }
  }

  func discard() {
    // A file that cannot be removed is removed at the next start.
    try? disk.remove(path)
  }
}
