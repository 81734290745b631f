internal import LMDB
internal import Synchronization

/// What committing one generation takes of the data file at worst. LMDB writes a page anew that it changes.
struct SpaceNeed {
  /// Existing pages that its rows may land on, one each.
  var touchedPages = 0
  /// Bytes of its rows.
  var dataBytes = 0

  /// Pages full of the rows alone, were they half empty after splits, and the last step's slack.
  private var dataPages: Int { dataBytes >> 11 + 16 }
  /// An upper bound that needs no look at the file.
  var pagesMax: Int { touchedPages + dataPages }

  /// A commit touches a page once, so never more than there are.
  func pages(usedPages: Int) -> Int { min(touchedPages, usedPages) + dataPages }
}

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

  /// Bytes of the file behind the data that are allocated.
  var aheadBytes: Int64 {
    allocatedBytes.load(ordering: .relaxed) - Int64(environment.usedPages) * pageBytes
  }

  /// Makes as much room as another file of the same data had. False if there is not so much.
  func extend(ahead bytes: Int64) -> Bool {
    let needed = max(bytes, Int64(reservePages) * pageBytes) + Int64(environment.usedPages) * pageBytes
    let target = (needed / stepBytes + 1) * stepBytes
    guard target <= mapBytes, grow(from: 0, to: target) else { return false }
    allocatedBytes.store(target, ordering: .relaxed)
    return true
  }

  /// Makes room for the commits of these generations. Called by the applier at entry boundaries, and with
  /// each generation's latest need, so that only the last 16 pages of slack lie between two calls.
  func extend(for generations: [SpaceNeed]) {
    let usedPages = environment.usedPages
    let pages = reservePages + generations.reduce(0) { $0 + $1.pages(usedPages: usedPages) }
    let needed = Int64(usedPages + pages) * pageBytes
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
      short.store(!fitsInFreePages(pages), ordering: .relaxed)
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
