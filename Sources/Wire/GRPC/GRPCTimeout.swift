/// The value of a `grpc-timeout` header: up to eight digits and a unit.
enum GRPCTimeout {
  case none
  case nanoseconds(Int64)
  /// The text grpc-go answers with, after `malformed grpc-timeout: `.
  case malformed(String)

  init(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 2 else {
      self = .malformed("transport: timeout string is too short: \(goQuoted(bytes))")
      return
    }
    guard bytes.count <= 9 else {
      self = .malformed("transport: timeout string is too long: \(goQuoted(bytes))")
      return
    }
    let unit: Int64
    switch bytes[bytes.count - 1] {
    case UInt8(ascii: "H"): unit = 3_600_000_000_000
    case UInt8(ascii: "M"): unit = 60_000_000_000
    case UInt8(ascii: "S"): unit = 1_000_000_000
    case UInt8(ascii: "m"): unit = 1_000_000
    case UInt8(ascii: "u"): unit = 1000
    case UInt8(ascii: "n"): unit = 1
    default:
      self = .malformed("transport: timeout unit is not recognized: \(goQuoted(bytes))")
      return
    }
    var amount: Int64 = 0
    for digit in bytes.dropLast() {
      guard digit >= 0x30, digit <= 0x39 else {
        let number = goQuoted(UnsafeRawBufferPointer(rebasing: bytes.dropLast()))
        self = .malformed("strconv.ParseInt: parsing \(number): invalid syntax")
        return
      }
      amount = amount &* 10 &+ Int64(digit &- 0x30)
    }
    let (product, overflow) = amount.multipliedReportingOverflow(by: unit)
    // Go clamps as well: 99,999,999 hours do not fit.
    self = .nanoseconds(overflow ? .max : product)
  }

  /// The shortest text of at most eight digits for a duration, rounded up.
  static func text(nanoseconds: Int64) -> String {
    guard nanoseconds > 0 else { return "0n" }
    var divisor: Int64 = 1
    for (unit, next) in [("n", 1000), ("u", 1000), ("m", 1000), ("S", 60), ("M", 60), ("H", 1)]
      as [(String, Int64)]
    {
      let amount = nanoseconds / divisor + (nanoseconds % divisor > 0 ? 1 : 0)
      if amount <= 99_999_999 || unit == "H" { return "\(min(amount, 99_999_999))\(unit)" }
      divisor *= next
    }
    return "99999999H"
  }
}
