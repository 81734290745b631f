internal import Model
internal import Replica

extension AutoCompactionPolicy {
  /// Reads `--auto-compaction-mode` and `--auto-compaction-retention` as etcd does; nil when the retention is zero.
  ///
  /// A whole number counts hours or revisions, anything else is a duration, also by revision: one revision a nanosecond
  /// then, as in etcd.
  init?(mode: String, retention: String) throws(ConfigurationError) {
    guard mode == "periodic" || mode == "revision" else {
      throw .invalid(
        mode.isEmpty
          ? "undefined auto-compaction-mode" : "unknown auto-compaction-mode \(GoValueSyntax.quoted(mode))")
    }
    let kept = try Self.kept(retention.isEmpty ? "0" : retention)
    let isPeriodic = mode == "periodic"
    switch kept {
    case .count(0), .duration(.zero): return nil
    case .count(let hours) where isPeriodic:
      let (milliseconds, overflow) = UInt64(hours).multipliedReportingOverflow(by: 3_600_000)
      guard !overflow else { throw Self.unreadable(retention) }
      self = .periodic(milliseconds: milliseconds)
    case .count(let revisions): self = .revision(revisions)
    case .duration(let duration):
      guard duration > .zero else {
        throw .invalid("--auto-compaction-retention must not be negative (set to \(duration))")
      }
      self =
        isPeriodic
        ? .periodic(milliseconds: max(1, UInt64(duration.nanoseconds) / 1_000_000))
        : .revision(duration.nanoseconds)
    }
  }

  private enum Kept {
    case count(Int64)
    case duration(GoDuration)
  }

  private static func kept(_ text: String) throws(ConfigurationError) -> Kept {
    if let count = Int64(text), count >= 0 { return .count(count) }
    do {
      return .duration(try GoDuration(parsing: text))
    } catch {
      throw unreadable(text)
    }
  }

  private static func unreadable(_ text: String) -> ConfigurationError {
    .invalid("error parsing CompactionRetention: time: invalid duration \(GoValueSyntax.quoted(text))")
  }
}
