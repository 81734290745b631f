internal import Metrics
internal import Store
internal import Synchronization

/// How many live keys the store holds: counted once at the start, by reading through the table of keys, and followed by
/// what is applied since. Unknown until the count is done.
final class KeyCount: Sendable {
  private let atStart = Atomic<Int64>(-1)
  private let isStopped = Atomic<Bool>(false)

  /// Any thread; nil while it is not known.
  func live(_ apply: ApplyMetrics) -> Int64? {
    let counted = atStart.load(ordering: .acquiring)
    guard counted >= 0 else { return nil }
    return counted + Int64(apply.keysCreated.value) - Int64(apply.keysDeleted.value)
  }

  /// Counts the keys of the view, which was taken before anything was applied, and ends it.
  func count(_ view: ReadView) {
    defer { view.end() }
    var count: Int64 = 0
    let scanned: Void? = try? view.scan(from: [], to: .unbounded, at: view.revision, content: .metadata) {
      _ in
      count += 1
      return isStopped.load(ordering: .relaxed) ? .stop : .next
    }
    if scanned != nil, !isStopped.load(ordering: .relaxed) { atStart.store(count, ordering: .releasing) }
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }
}
