internal import Node
internal import Store

/// LMDB's writer thread: commits frozen generations and deletes compacted rows, and reports to the core thread.
final class CommitterThread: @unchecked Sendable {
  // Sendable by proof: `committer` is used by the thread alone once it runs.
  private let committer: Committer
  private let wakes = Inbox<Void>()
  private let report: @Sendable (CommitReport) -> Void
  private let fail: @Sendable (StoreError) -> Void

  init(
    _ committer: Committer, report: @escaping @Sendable (CommitReport) -> Void,
    fail: @escaping @Sendable (StoreError) -> Void
  ) {
    self.committer = committer
    self.report = report
    self.fail = fail
  }

  /// There is something to commit.
  func wake() { wakes.push(()) }

  /// Ends the thread after what is left to commit.
  func close() { wakes.close() }

  func start() -> OSThread {
    OSThread(name: "cairn-commit") { self.run() }
  }

  private func run() {
    var batch: [Void] = []
    var isOpen = true
    do throws(StoreError) {
      // Compaction that the last process left unfinished goes on at once.
      repeat {
        while try committer.hasWork {
          guard let report = try committer.commitNext() else { break }
          self.report(report)
        }
        isOpen = wakes.drain(into: &batch, until: .max)
        batch.removeAll(keepingCapacity: true)
      } while isOpen
      while try committer.hasWork, try committer.commitNext() != nil {}
    } catch {
      fail(error)
    }
  }
}
