/// A cursor over a small JSON text. Values of the wrong kind are nil; any input ends without a trap.
struct JSONScanner {
  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0
  private static let depthMax = 32

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether only white space is left.
  var isAtEnd: Bool {
    mutating get {
      skipSpace()
      return position == bytes.count
    }
  }

  /// Reads an object; `field` reads the value of each key and says whether it could.
  mutating func object(_ field: (String, inout JSONScanner) -> Bool) -> Bool {
    guard take("{"), depth < Self.depthMax else { return false }
    depth += 1
    defer { depth -= 1 }
    if take("}") { return true }
    repeat {
      guard let key = string(), take(":"), field(key, &self) else { return false }
    } while take(",")
    return take("}")
  }

  mutating func unsignedInteger() -> UInt64? {
    skipSpace()
    var value: UInt64 = 0
    let start = position
    while let byte = peek, byte >= 0x30, byte <= 0x39 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
      if overflow || carry { return nil }
      value = sum
      position += 1
    }
    return position > start ? value : nil
  }

  mutating func integer() -> Int64? {
    let isNegative = take("-")
    guard let magnitude = unsignedInteger().flatMap({ Int64(exactly: $0) }) else { return nil }
    return isNegative ? -magnitude : magnitude
  }

  mutating func boolean() -> Bool? {
    if literal("true") { return true }
    return literal("false") ? false : nil
  }

  /// An array of strings; `null` is the empty one, as Go writes it.
  mutating func strings() -> [String]? {
    if literal("null") { return [] }
    guard take("[") else { return nil }
    if take("]") { return [] }
    var list: [String] = []
    repeat {
      guard let element = string() else { return nil }
      list.append(element)
    } while take(",")
    return take("]") ? list : nil
  }

  /// Reads an array; `element` reads each element and says whether it could. `null` is the empty one.
  mutating func array(_ element: (inout JSONScanner) -> Bool) -> Bool {
    if literal("null") { return true }
    guard take("["), depth < Self.depthMax else { return false }
    depth += 1
    defer { depth -= 1 }
    if take("]") { return true }
    repeat {
      guard element(&self) else { return false }
    } while take(",")
    return take("]")
  }

  mutating func string() -> String? {
    guard take("\"") else { return nil }
    var content: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(validating: content, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let scalar = escape() else { return nil }
        content.append(contentsOf: String(Character(scalar)).utf8)
      case 0..<0x20: return nil
      default: content.append(byte)
      }
    }
    return nil
  }

  mutating func skipValue() -> Bool {
    skipSpace()
    switch peek {
    case UInt8(ascii: "\""): return string() != nil
    case UInt8(ascii: "{"): return object { _, scanner in scanner.skipValue() }
    case UInt8(ascii: "["): return skipArray()
    default: return literal("true") || literal("false") || literal("null") || skipNumber()
    }
  }

  private mutating func skipArray() -> Bool {
    guard take("["), depth < Self.depthMax else { return false }
    depth += 1
    defer { depth -= 1 }
    if take("]") { return true }
    repeat {
      guard skipValue() else { return false }
    } while take(",")
    return take("]")
  }

  private mutating func skipNumber() -> Bool {
    let start = position
    while let byte = peek, (byte >= 0x30 && byte <= 0x39) || "+-.eE".utf8.contains(byte) { position += 1 }
    return position > start
  }

  /// What follows a backslash. Half of a surrogate pair reads as U+FFFD, as in Go.
  private mutating func escape() -> Unicode.Scalar? {
    guard let byte = peek else { return nil }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      guard let first = hexadecimalUnit() else { return nil }
      if let scalar = Unicode.Scalar(first) { return scalar }
      let mark = position
      if first < 0xdc00, literalHere("\\u"), let second = hexadecimalUnit(), 0xdc00..<0xe000 ~= second {
        return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
      }
      position = mark
      return "\u{fffd}"
    default: return nil
    }
  }

  private mutating func hexadecimalUnit() -> UInt32? {
    guard bytes.count - position >= 4 else { return nil }
    var value: UInt32 = 0
    for byte in bytes[position..<position + 4] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return nil }
      value = value << 4 | UInt32(digit)
    }
    position += 4
    return value
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard let byte = peek, UInt32(byte) == character.value else { return false }
    position += 1
    return true
  }

  private mutating func literal(_ text: StaticString) -> Bool {
    skipSpace()
    return literalHere(text)
  }

  private mutating func literalHere(_ text: StaticString) -> Bool {
    let wanted = Array(text.description.utf8)
    guard bytes[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }
}
