public import Model

/// A length of time in Go's notation (`1h30m`, `100ms`), which etcd's flags and logs use.
public struct GoDuration: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// May be negative: `-5s` is a valid Go duration; who uses the value says what it means.
  public let nanoseconds: Int64

  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  public static let zero = GoDuration(nanoseconds: 0)
  public static func milliseconds(_ count: Int64) -> GoDuration {
    GoDuration(nanoseconds: count * 1_000_000)
  }
  public static func seconds(_ count: Int64) -> GoDuration {
    GoDuration(nanoseconds: count * 1_000_000_000)
  }

  public static func < (left: GoDuration, right: GoDuration) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  /// Go's `time.ParseDuration`, with the `flag` package's text on failure.
  public init(parsing text: String) throws(ValueSyntaxError) {
    var rest = Array(text.utf8)[...]
    var negative = false
    if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
      negative = sign == UInt8(ascii: "-")
      rest = rest.dropFirst()
    }
    if rest.elementsEqual("0".utf8) {
      self = .zero
      return
    }
    guard !rest.isEmpty else { throw .syntax }
    var total: UInt64 = 0
    while !rest.isEmpty {
      let (sum, overflow) = total.addingReportingOverflow(try Self.takeTerm(&rest))
      guard !overflow, sum <= UInt64(Int64.max) + (negative ? 1 : 0) else { throw .syntax }
      total = sum
    }
    nanoseconds = negative ? Int64(truncatingIfNeeded: 0 &- total) : Int64(total)
  }

  /// One number with its unit, such as `1.5h`, in nanoseconds.
  private static func takeTerm(_ rest: inout ArraySlice<UInt8>) throws(ValueSyntaxError) -> UInt64 {
    let whole = takeDigits(&rest)
    var fraction: [UInt8] = []
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      fraction = takeDigits(&rest)
    }
    guard !whole.isEmpty || !fraction.isEmpty else { throw .syntax }
    let unitBytes = rest.prefix { $0 != UInt8(ascii: ".") && !isDigit($0) }
    rest = rest.dropFirst(unitBytes.count)
    let unit: UInt64
    switch String(decoding: unitBytes, as: UTF8.self) {
    case "ns": unit = 1
    case "us", "µs", "μs": unit = 1_000
    case "ms": unit = 1_000_000
    case "s": unit = 1_000_000_000
    case "m": unit = 60_000_000_000
    case "h": unit = 3_600_000_000_000
    default: throw .syntax
    }
    var value: UInt64 = 0
    for digit in whole {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      guard !overflow, product <= UInt64(Int64.max) else { throw .syntax }
      value = product + UInt64(digit - UInt8(ascii: "0"))
    }
    let (scaled, overflow) = value.multipliedReportingOverflow(by: unit)
    guard !overflow else { throw .syntax }
    var parts: UInt64 = 0
    var place = unit
    for digit in fraction {
      // Each digit of the fraction is worth a tenth of the place before it; below 1 ns nothing is left.
      parts += UInt64(digit - UInt8(ascii: "0")) * place / 10
      place /= 10
    }
    let (sum, carry) = scaled.addingReportingOverflow(parts)
    guard !carry else { throw .syntax }
    return sum
  }

  private static func takeDigits(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
    let digits = rest.prefix(while: isDigit)
    rest = rest.dropFirst(digits.count)
    return Array(digits)
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
  }

  /// Go's `Duration.String`: `2h0m0s`, `1.5s`, `100ms`, `0s`.
  public var description: String {
    if nanoseconds == 0 { return "0s" }
    let sign = nanoseconds < 0 ? "-" : ""
    let magnitude = nanoseconds.magnitude
    switch magnitude {
    case ..<1_000: return "\(sign)\(magnitude)ns"
    case ..<1_000_000: return sign + Self.decimal(magnitude, per: 1_000) + "µs"
    case ..<1_000_000_000: return sign + Self.decimal(magnitude, per: 1_000_000) + "ms"
    default: break
    }
    let minutes = magnitude / 60_000_000_000
    let seconds = Self.decimal(magnitude % 60_000_000_000, per: 1_000_000_000) + "s"
    if minutes == 0 { return sign + seconds }
    if minutes < 60 { return "\(sign)\(minutes)m\(seconds)" }
    return "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
  }

  private static func decimal(_ value: UInt64, per unit: UInt64) -> String {
    let fraction = value % unit
    guard fraction != 0 else { return "\(value / unit)" }
    let padded = String(String(fraction + unit).dropFirst())
    let end = padded.lastIndex { $0 != "0" } ?? padded.startIndex
    return "\(value / unit).\(padded[...end])"
  }
}
