/// Why a value did not parse, in the words of Go's `flag` package: scripts and operators know these texts.
public struct ValueSyntaxError: Error, Equatable, Sendable {
  public let text: String

  public init(_ text: String) { self.text = text }

  public static let syntax = ValueSyntaxError("parse error")
  public static let range = ValueSyntaxError("value out of range")
}

/// The literal syntax that etcd's flags, variables and messages use.
public enum GoValueSyntax {
  /// Go's `strconv.ParseBool`.
  public static func boolean(_ text: String) throws(ValueSyntaxError) -> Bool {
    switch text {
    case "1", "t", "T", "TRUE", "true", "True": return true
    case "0", "f", "F", "FALSE", "false", "False": return false
    default: throw .syntax
    }
  }

  /// Go's `strconv.ParseUint(text, 0, 64)`: base prefixes and underscores between digits.
  public static func unsigned(_ text: String) throws(ValueSyntaxError) -> UInt64 {
    var bytes = Array(text.utf8)[...]
    var radix: UInt64 = 10
    var afterPrefix = false
    if bytes.first == UInt8(ascii: "0"), bytes.count > 1 {
      afterPrefix = true
      switch bytes[bytes.startIndex + 1] | 0x20 {
      case UInt8(ascii: "x"): (radix, bytes) = (16, bytes.dropFirst(2))
      case UInt8(ascii: "b"): (radix, bytes) = (2, bytes.dropFirst(2))
      case UInt8(ascii: "o"): (radix, bytes) = (8, bytes.dropFirst(2))
      default: (radix, bytes) = (8, bytes.dropFirst(1))
      }
    }
    guard !bytes.isEmpty else { throw .syntax }
    var value: UInt64 = 0
    var overflowed = false
    var underscoreAllowed = afterPrefix
    for byte in bytes {
      if byte == UInt8(ascii: "_") {
        guard underscoreAllowed else { throw .syntax }
        underscoreAllowed = false
        continue
      }
      guard let digit = digitValue(byte), digit < radix else { throw .syntax }
      underscoreAllowed = true
      let (product, overflow) = value.multipliedReportingOverflow(by: radix)
      let (sum, carry) = product.addingReportingOverflow(digit)
      value = sum
      overflowed = overflowed || overflow || carry
    }
    guard underscoreAllowed else { throw .syntax }
    guard !overflowed else { throw .range }
    return value
  }

  /// Go's `strconv.ParseInt(text, 0, 64)`.
  public static func integer(_ text: String) throws(ValueSyntaxError) -> Int64 {
    let negative = text.hasPrefix("-")
    let magnitude = try unsigned(negative || text.hasPrefix("+") ? String(text.dropFirst()) : text)
    if negative {
      guard magnitude <= UInt64(Int64.max) + 1 else { throw .range }
      return Int64(truncatingIfNeeded: 0 &- magnitude)
    }
    guard let value = Int64(exactly: magnitude) else { throw .range }
    return value
  }

  /// Go's `%q` for the texts that occur in messages: backslash escapes, everything printable as it is.
  public static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7f {
          result += "\\x" + hexadecimal(UInt64(scalar.value), width: 2)
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }

  public static func hexadecimal(_ value: UInt64, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }

  private static func digitValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }
}
