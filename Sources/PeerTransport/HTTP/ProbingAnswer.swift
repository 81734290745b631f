import NIOCore

/// The answer to a probe: whether the member is well and what its clock says, as etcd writes it.
enum ProbingAnswer {
  static let path = "/raft/probing"
  static let bytesMax = 1024

  /// - Parameters: seconds and nanoseconds since 1970, UTC.
  static func body(seconds: Int64, nanoseconds: Int64) -> String {
    "{\"OK\":true,\"Now\":\"\(timestamp(seconds: seconds, nanoseconds: nanoseconds))\"}\n"
  }

  /// Whether a body says that the member is well.
  static func isFine(_ body: [UInt8]) -> Bool {
    let text = String(decoding: body, as: UTF8.self).filter { !$0.isWhitespace }
    return text.contains("\"OK\":true")
  }

  /// RFC 3339 with the fraction's zeros left out, as Go writes a time.
  private static func timestamp(seconds: Int64, nanoseconds: Int64) -> String {
    let days = Int(seconds / 86_400)
    let second = Int(seconds % 86_400)
    let (year, month, day) = date(daysSince1970: days)
    var fraction = padded(Int(nanoseconds), 9)
    while fraction.hasSuffix("0") { fraction.removeLast() }
    let time = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    return
      "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(time)\(fraction.isEmpty ? "" : "." + fraction)Z"
  }

  /// The civil date, by eras of 400 years that begin in March.
  private static func date(daysSince1970 days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  private static func padded(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
}
