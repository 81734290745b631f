internal import LMDB
internal import Synchronization

/// Disk space ahead of the data (rule: extended for the worst case of both generations before growth is
/// accepted). A commit comes after clients were answered, so it must not find the disk full.
final class Space: Sendable {
  private let environment: Environment
  private let mapBytes: Int64
  private let stepBytes: Int64
  private let pageBytes: Int64
  /// Set aside for what a batch of compaction may dirty, and for the trees' upper pages and the free list.
  private let reservePages: Int
  private let short = Atomic<Bool>(false)
  private let allocatedBytes = Atomic<Int64>(0)

  init(environment: Environment, options: StoreOptions) {
    self.environment = environment
    mapBytes = Int64(options.mapBytes)
    stepBytes = Int64(options.spaceStepBytes)
    pageBytes = Int64(environment.pageBytes)
    reservePages = 64 + options.compactionBatchRows / 4
  }

  var isShort: Bool { short.load(ordering: .relaxed) }

  /// Makes room for commits that take up to `worstCasePages`. Called by the applier at entry boundaries.
  func extend(worstCasePages: Int) {
    let pages = Int64(environment.usedPages + worstCasePages + reservePages)
    let needed = pages * pageBytes
    let allocated = allocatedBytes.load(ordering: .relaxed)
    if needed <= allocated {
      short.store(false, ordering: .relaxed)
      return
    }
    // With room for a whole step, so that steady growth asks seldom.
    let target = min((needed / stepBytes + 1) * stepBytes, mapBytes)
    if needed <= mapBytes, grow(from: allocated, to: target) {
      allocatedBytes.store(target, ordering: .relaxed)
      short.store(false, ordering: .relaxed)
    } else {
      short.store(!fitsInFreePages(worstCasePages + reservePages), ordering: .relaxed)
    }
  }

  private func grow(from allocated: Int64, to target: Int64) -> Bool {
    do throws(LMDBError) {
      // A file system that cannot allocate ahead gives no promise; a full disk then stops the process.
      _ = try environment.allocate(allocated..<target)
      return true
    } catch {
      return false
    }
  }

  /// A file that cannot grow may still have room inside, after compaction. Half of the free pages count: old
  /// views hold some, and long values need several in a row. Walks the free list, so only when short.
  private func fitsInFreePages(_ pages: Int) -> Bool {
    do throws(LMDBError) {
      return pages <= (try environment.statistics().freePages) / 2
    } catch {
      return false
    }
  }
}
