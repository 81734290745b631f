/// Ids and versions as they stand in headers and paths.
enum MemberText {
  /// Lower-case hexadecimal without padding.
  static func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }

  /// What Go's parser takes for a hexadecimal id: digits alone, no sign.
  static func id(_ text: some StringProtocol) -> UInt64? {
    guard let first = text.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else {
      return nil
    }
    return UInt64(text, radix: 16)
  }
}

/// A release of the server, of which two numbers decide who understands whom.
public struct ServerVersion: Hashable, Comparable, Sendable {
  public let major: Int
  public let minor: Int

  public init(major: Int, minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// Reads `3.7.1` and `3.8.0-alpha.0`; nil for anything that is no semantic version.
  public init?(_ text: some StringProtocol) {
    let core = text.prefix { $0 != "-" && $0 != "+" }
    let numbers = core.split(separator: ".", omittingEmptySubsequences: false)
    guard numbers.count == 3 else { return nil }
    var values: [Int] = []
    for number in numbers {
      guard (1...9).contains(number.utf8.count), number.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
        let value = Int(number)
      else { return nil }
      values.append(value)
    }
    self.init(major: values[0], minor: values[1])
  }

  public static func < (left: ServerVersion, right: ServerVersion) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }
}
