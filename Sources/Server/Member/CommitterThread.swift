internal import Metrics
internal import Node
internal import Store

/// LMDB's writer thread: commits frozen generations and deletes compacted rows, and reports to the core thread.
/// Between commits it does the store's work that takes longer, a slice at a time.
final class CommitterThread: @unchecked Sendable {
  /// Told of the outcome of a defragmentation, on this thread; nil if the member stops before it ends.
  typealias DefragmentCompletion = @Sendable (Result<DefragmentReport, StoreError>?) -> Void

  private enum Task: Sendable {
    case commit
    case defragment(DefragmentCompletion)
    case install(SnapshotInstallation, @Sendable (StoreRecovery) -> Void)
  }

  // Sendable by proof: `committer` and `waiting` are used by the thread alone once it runs.
  private let committer: Committer
  private var waiting: [DefragmentCompletion] = []
  private let tasks = Inbox<Task>()
  let metrics = CommitMetrics()
  /// When the compaction under way began, in monotonic nanoseconds.
  private var compactingSince: UInt64?
  private let plan: @Sendable () -> DefragmentPlan
  private let report: @Sendable (CommitReport) -> Void
  private let worked: @Sendable (WorkReport) -> Void
  private let fail: @Sendable (any CustomStringConvertible & Sendable) -> Void

  /// - Parameters:
  ///   - plan: where the next defragmentation goes.
  ///   - worked: told of what came of the work between commits.
  init(
    _ committer: Committer, plan: @escaping @Sendable () -> DefragmentPlan,
    report: @escaping @Sendable (CommitReport) -> Void, worked: @escaping @Sendable (WorkReport) -> Void,
    fail: @escaping @Sendable (any CustomStringConvertible & Sendable) -> Void
  ) {
    self.committer = committer
    self.plan = plan
    self.report = report
    self.worked = worked
    self.fail = fail
  }

  /// There is something to commit.
  func wake() { tasks.push(.commit) }

  /// Defragments the data file beside live traffic. Whoever asks while one is under way gets its outcome.
  func defragment(_ completion: @escaping DefragmentCompletion) { tasks.push(.defragment(completion)) }

  /// Puts a received snapshot in the place of everything the store holds. An error ends the process.
  func install(
    _ installation: SnapshotInstallation, _ completion: @escaping @Sendable (StoreRecovery) -> Void
  ) {
    tasks.push(.install(installation, completion))
  }

  /// Ends the thread after what is left to commit.
  func close() { tasks.close() }

  func start() -> OSThread {
    OSThread(name: "cairn-commit") { self.run() }
  }

  private func run() {
    var batch: [Task] = []
    var isOpen = true
    do throws(StoreError) {
      // Compaction that the last process left unfinished goes on at once.
      repeat {
        while try committer.hasWork {
          guard let report = try commitNext() else { break }
          self.report(report)
        }
        if let report = try committer.workNext(now: monotonicNanoseconds()) { end(report) }
        isOpen = tasks.drain(into: &batch, until: committer.nextWork)
        for task in batch { take(task) }
        batch.removeAll(keepingCapacity: true)
      } while isOpen
      committer.cancelWork()
      answer(nil)
      while try committer.hasWork, try committer.commitNext() != nil {}
    } catch {
      fail(error)
    }
  }

  private func commitNext() throws(StoreError) -> CommitReport? {
    let began = monotonicNanoseconds()
    guard let report = try committer.commitNext() else { return nil }
    compactingSince = metrics.committed(
      report, began: began, nanoseconds: monotonicNanoseconds() - began, compactingSince: compactingSince)
    return report
  }

  private func take(_ task: Task) {
    switch task {
    case .commit: return
    case .defragment(let completion): defragment(for: completion)
    case .install(let installation, let completion):
      // It ends with a densely packed file of its own.
      answer(nil)
      do throws(SnapshotInstallError) { completion(try installation.run(committer)) } catch { fail(error) }
    }
  }

  private func defragment(for completion: @escaping DefragmentCompletion) {
    waiting.append(completion)
    guard !committer.isDefragmenting else { return }
    do throws(StoreError) {
      try committer.startDefragment(plan(), now: monotonicNanoseconds())
      metrics.defragmenting.set(1)
    } catch {
      end(.defragmentationFailed(error))
    }
  }

  private func end(_ report: WorkReport) {
    worked(report)
    switch report {
    case .defragmented(let report):
      metrics.defragmentations.observe(report.nanoseconds)
      metrics.defragmenting.set(0)
      answer(.success(report))
    case .defragmentationFailed(let error):
      metrics.defragmenting.set(0)
      answer(.failure(error))
    case .progressed, .removalFailed, .scrubbed, .scrubFailed, .damaged: return
    }
  }

  private func answer(_ outcome: Result<DefragmentReport, StoreError>?) {
    let completions = waiting
    waiting = []
    for completion in completions { completion(outcome) }
  }
}
