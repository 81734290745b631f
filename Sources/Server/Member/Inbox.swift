internal import Glibc

/// The queue in front of a stage's thread: producers append whole batches under one lock, the owner drains all
/// there is. Batches make group commit: while the owner syncs the log, the next batch gathers here.
///
/// Any thread may push; exactly one thread drains. The queue is bounded by what its producers may have
/// outstanding (streams per connection, request bytes), not here.
final class Inbox<Element: Sendable>: @unchecked Sendable {
  // Sendable by proof: `items` and `closed` are touched only with `mutex` held.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var items: [Element] = []
  private var closed = false
  private var waiting = false

  init() {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // Timed waits must not follow steps of the wall clock.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Appends `batch` and empties it. After `close` nothing is taken.
  func push(_ batch: inout [Element]) {
    pthread_mutex_lock(mutex)
    if closed {
      batch.removeAll(keepingCapacity: true)
    } else if items.isEmpty {
      swap(&items, &batch)
    } else {
      items.append(contentsOf: batch)
      batch.removeAll(keepingCapacity: true)
    }
    let wake = waiting && (closed || !items.isEmpty)
    pthread_mutex_unlock(mutex)
    if wake { pthread_cond_signal(condition) }
  }

  func push(_ element: Element) {
    var batch = [element]
    push(&batch)
  }

  /// Ends the owner's wait for good once what is queued has been drained.
  func close() {
    pthread_mutex_lock(mutex)
    closed = true
    pthread_mutex_unlock(mutex)
    pthread_cond_broadcast(condition)
  }

  /// Moves all there is into `batch` (which must be empty), waiting for the first element until the monotonic
  /// time `deadline` (nanoseconds). False once the inbox is closed and empty.
  func drain(into batch: inout [Element], until deadline: UInt64) -> Bool {
    precondition(batch.isEmpty)
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    var until = timespec(
      tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
    waiting = true
    while items.isEmpty && !closed {
      if pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT { break }
    }
    waiting = false
    swap(&items, &batch)
    return !(closed && batch.isEmpty)
  }
}

/// Monotonic time in nanoseconds. The only clock of the server's threads; below the edge time comes in as ticks.
func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
