import Glibc
import NIOCore

/// A line on a terminal's standard error that is drawn over and over; nothing when it is no terminal.
struct ProgressBar: Sendable {
  private let total: Int
  private let start = NIODeadline.now()
  private let isVisible: Bool

  init(total: Int, isWanted: Bool) {
    self.total = total
    isVisible = isWanted && isatty(STDERR_FILENO) == 1
  }

  func show(_ done: Int) {
    guard isVisible else { return }
    let width = 40
    let filled = total > 0 ? min(width, done * width / total) : width
    let seconds = Double((NIODeadline.now() - start).nanoseconds) / 1e9
    let rate = seconds > 0 ? Int(Double(done) / seconds) : 0
    let left = rate > 0 ? (total - done) / rate : 0
    let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
    write("\r \(done) / \(total) [\(bar)] \(rate)/s \(left)s left  ")
  }

  func end() {
    if isVisible { write("\r" + String(repeating: " ", count: 100) + "\r") }
  }

  private func write(_ text: String) {
    standardError(text)
  }
}

/// Gives the processor to others for a millisecond.
func pauseBriefly() { usleep(1000) }

/// Writes to standard error, unbuffered.
func standardError(_ text: String) {
  var bytes = Array(text.utf8)
  _ = Glibc.write(STDERR_FILENO, &bytes, bytes.count)
}
