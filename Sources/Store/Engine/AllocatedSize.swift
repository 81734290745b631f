internal import Synchronization

/// The size that the quota is compared with, in bytes; read by any thread, changed by applier and committer.
///
/// It is what LMDB has allocated in the file (pages in use and free ones, as etcd counts bbolt's), and on top the
/// memory of the generations that are not committed yet: about what their rows will take there. etcd leaves out what
/// its 100 ms batch holds; a generation may hold much more, so it has to count. The worst case in pages, by which
/// disk space is kept ready, would be ten times too much: random keys share leaves.
final class AllocatedSize: Sendable {
  private let database = Atomic<Int64>(0)
  private let pending = Atomic<Int64>(0)
  private let short = Atomic<Bool>(false)

  var bytes: Int64 { database.load(ordering: .relaxed) + pending.load(ordering: .relaxed) }

  /// `Store.isShortOfSpace` as of the last publication, without its lock.
  var isShort: Bool { short.load(ordering: .relaxed) }

  func shortIs(_ isShort: Bool) { short.store(isShort, ordering: .relaxed) }

  /// After an open, a commit, or a change of the file.
  func databaseIs(_ bytes: Int64) { database.store(bytes, ordering: .relaxed) }

  /// Everything was replaced; nothing waits for a commit.
  func restart(databaseBytes: Int64) {
    database.store(databaseBytes, ordering: .relaxed)
    pending.store(0, ordering: .relaxed)
    short.store(false, ordering: .relaxed)
  }

  /// A generation has grown by so much.
  func generationGrew(by bytes: Int) { pending.add(Int64(bytes), ordering: .relaxed) }

  /// A generation of this size is in the database now.
  func generationCommitted(_ bytes: Int) { pending.subtract(Int64(bytes), ordering: .relaxed) }
}

extension Store {
  /// The size that is compared with `--quota-backend-bytes`; see `AllocatedSize`. Any thread; two loads.
  public var allocatedBytes: Int64 { allocated.bytes }

  /// Whether something that adds `cost` bytes may be accepted: it costs nothing, or the result stays below
  /// `quotaBytes` (nil: no limit) and the disk has room for it. Any thread; a few loads.
  @inline(__always)
  public func hasRoom(for cost: Int64, quotaBytes: Int64?) -> Bool {
    if cost == 0 { return true }
    if allocated.isShort { return false }
    guard let quotaBytes else { return true }
    return allocated.bytes + cost < quotaBytes
  }
}
