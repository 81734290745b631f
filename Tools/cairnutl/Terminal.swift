import Glibc
import Offline

/// Standard error, and what is shown there while work goes on.
enum Terminal {
  static func error(_ text: String) {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if count <= 0 { return }
      done += count
    }
  }

  static func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

  /// Milliseconds of a clock that only goes forward.
  static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}

/// Shows how far an operation is, on standard error, once it has lasted a second: a bar on a terminal, a line every few
/// seconds elsewhere.
final class ProgressDisplay {
  private static let startMilliseconds: Int64 = 1000
  private static let barMilliseconds: Int64 = 100
  private static let lineMilliseconds: Int64 = 5000
  private static let barWidth = 30

  private let isWanted: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = Terminal.now()
  private var step = ""
  private var stepStart: Int64 = 0
  private var lastShown: Int64 = 0
  private var hasBar = false
  private var calls = 0

  init(isWanted: Bool) { self.isWanted = isWanted }

  func show(_ progress: OfflineProgress) {
    guard isWanted else { return }
    let now = Terminal.now()
    if step != progress.step {
      step = progress.step
      stepStart = now
    }
    let pause = isTerminal ? Self.barMilliseconds : Self.lineMilliseconds
    guard now - start >= Self.startMilliseconds, now - lastShown >= pause, now > stepStart else { return }
    lastShown = now
    let line = text(progress, milliseconds: now - stepStart)
    Terminal.error(isTerminal ? "\r\u{1b}[K\(bar(progress)) \(line)" : "\(line)\n")
    hasBar = isTerminal
  }

  /// Takes the bar away.
  func end() {
    if hasBar { Terminal.error("\r\u{1b}[K") }
    hasBar = false
  }

  private func bar(_ progress: OfflineProgress) -> String {
    let filled = progress.total > 0 ? Int(part(progress) * Double(Self.barWidth)) : 0
    return "[" + String(repeating: "=", count: filled)
      + String(repeating: " ", count: Self.barWidth - filled) + "]"
  }

  private func part(_ progress: OfflineProgress) -> Double {
    min(1, max(0, Double(progress.done) / Double(max(progress.total, 1))))
  }

  private func text(_ progress: OfflineProgress, milliseconds: Int64) -> String {
    let rate = Double(progress.done) / Double(milliseconds) * 1000
    // A file may declare any size.
    let left = rate > 0 ? Int(min(Double(max(0, progress.total - progress.done)) / rate, 1e9)) : 0
    let percent = Int(part(progress) * 100)
    let amounts: String =
      switch progress.unit {
      case .bytes:
        "\(Size.text(progress.done)) of \(Size.text(progress.total)), \(Size.text(Int(rate)))/s"
      case .items: "\(progress.done) of \(progress.total), \(Int(rate))/s"
      }
    return "\(progress.step): \(percent)% (\(amounts), \(left) s left)"
  }
}

/// Sizes for people.
enum Size {
  /// In MiB, which is what the disks' and the guides' figures are in.
  static func text(_ bytes: Int) -> String {
    let tenths = bytes / 104_858
    return "\(tenths / 10).\(tenths % 10) MiB"
  }

  /// As etcdutl's status prints it: powers of 1000, two digits at least.
  static func humanized(_ bytes: Int) -> String {
    if bytes < 10 { return "\(bytes) B" }
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    var exponent = 0
    var scale = 1.0
    while exponent < units.count - 1, Double(bytes) >= scale * 1000 {
      scale *= 1000
      exponent += 1
    }
    let tenths = Int((Double(bytes) / scale * 10 + 0.5).rounded(.down))
    if tenths < 100 { return "\(tenths / 10).\(tenths % 10) \(units[exponent])" }
    // Halves go to the even neighbour, as in Go's formatting.
    let (whole, rest) = (tenths / 10, tenths % 10)
    return "\(rest > 5 || rest == 5 && whole % 2 == 1 ? whole + 1 : whole) \(units[exponent])"
  }
}

/// A length of time in Go's notation, to the millisecond.
struct Duration {
  var milliseconds: Int64

  init?(goNotation text: String) {
    if text == "0" {
      milliseconds = 0
      return
    }
    let units: [(String, Double)] = [("ms", 1), ("h", 3_600_000), ("m", 60000), ("s", 1000)]
    var rest = Substring(text)
    var sum = 0.0
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
      rest = rest.dropFirst(digits.count)
      guard let number = Double(digits), let unit = units.first(where: { rest.hasPrefix($0.0) }) else {
        return nil
      }
      sum += number * unit.1
      rest = rest.dropFirst(unit.0.count)
    }
    guard sum < 1e15 else { return nil }
    milliseconds = Int64(sum)
  }
}
