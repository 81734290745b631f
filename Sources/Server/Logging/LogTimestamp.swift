import Glibc

/// A moment in UTC, to the millisecond.
public struct LogTimestamp: Sendable, Equatable {
  /// Since 1970-01-01T00:00:00Z.
  public let milliseconds: Int64

  public init(milliseconds: Int64) { self.milliseconds = milliseconds }

  /// The wall clock.
  public static func now() -> LogTimestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return LogTimestamp(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
  }

  /// This moment's local time, as if it were UTC: what `text` then says is what a clock on the wall shows.
  var inLocalTime: LogTimestamp {
    var seconds = time_t(milliseconds.flooringDivided(by: 1_000))
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return self }
    return LogTimestamp(milliseconds: milliseconds + Int64(parts.tm_gmtoff) * 1_000)
  }

  /// `2026-01-02T03:04:05.678Z`
  public var text: String {
    let seconds = milliseconds.flooringDivided(by: 1_000)
    let days = seconds.flooringDivided(by: 86_400)
    let secondOfDay = seconds - days * 86_400
    let (year, month, day) = Self.civil(days)
    func padded(_ value: Int64, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    let time =
      "\(padded(secondOfDay / 3_600, 2)):\(padded(secondOfDay / 60 % 60, 2)):\(padded(secondOfDay % 60, 2))"
    return "\(date)T\(time).\(padded(milliseconds - seconds * 1_000, 3))Z"
  }

  /// The proleptic Gregorian date of a day number; eras of 400 years beginning in March make leap days last.
  private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = shifted.flooringDivided(by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1
    )
  }
}

extension Int64 {
  fileprivate func flooringDivided(by divisor: Int64) -> Int64 {
    let quotient = self / divisor
    return self % divisor < 0 ? quotient - 1 : quotient
  }
}
