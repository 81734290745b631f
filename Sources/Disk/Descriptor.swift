import Glibc
import Synchronization

/// A file descriptor that is closed exactly once, whichever thread does it.
final class Descriptor: Sendable {
  private let number: Atomic<Int32>

  init(_ number: Int32) { self.number = Atomic(number) }

  func close() {
    let open = number.exchange(-1, ordering: .acquiringAndReleasing)
    if open >= 0 { Glibc.close(open) }
  }
}
