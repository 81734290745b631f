/// The parameters behind the `?` of a target, as Go's net/url takes them apart: in their order, names and values decoded.
/// Pairs that hold a semicolon or a wrong escape are left out.
struct QueryParameters {
  private var pairs: [(name: String, value: String)] = []

  init(_ query: Substring) {
    for part in query.split(separator: "&") where !part.contains(";") {
      let equals = part.firstIndex(of: "=") ?? part.endIndex
      let value = equals == part.endIndex ? "" : part[part.index(after: equals)...]
      guard let name = Self.decode(part[..<equals]), let value = Self.decode(value) else { continue }
      pairs.append((name, value))
    }
  }

  func has(_ name: String) -> Bool { pairs.contains { $0.name == name } }

  func first(_ name: String) -> String? { pairs.first { $0.name == name }?.value }

  /// Every value given that is not empty.
  func all(_ name: String) -> [String] {
    pairs.filter { $0.name == name && !$0.value.isEmpty }.map(\.value)
  }

  private static func decode(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
          return nil
        }
        bytes.append(high << 4 | low)
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
