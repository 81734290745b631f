/// A message laid open for people and programs: fields by their names in the proto files, zero ones left out.
public struct MessageText: Sendable {
  public indirect enum Value: Sendable {
    case integer(Int64)
    case unsigned(UInt64)
    case boolean(Bool)
    case bytes([UInt8])
    case text(String)
    /// An enum's value by its name.
    case name(String)
    case message(MessageText)
    case list([Value])
  }

  public internal(set) var fields: [(name: String, value: Value)] = []

  public init() {}

  public mutating func add(_ name: String, _ value: Int64) {
    if value != 0 { fields.append((name, .integer(value))) }
  }
  public mutating func add(_ name: String, _ value: UInt64) {
    if value != 0 { fields.append((name, .unsigned(value))) }
  }
  public mutating func add(_ name: String, _ value: Bool) {
    if value { fields.append((name, .boolean(true))) }
  }
  public mutating func add(_ name: String, _ value: [UInt8]) {
    if !value.isEmpty { fields.append((name, .bytes(value))) }
  }
  public mutating func add(_ name: String, _ value: String) {
    if !value.isEmpty { fields.append((name, .text(value))) }
  }
  public mutating func add(_ name: String, _ values: [Value]) {
    if !values.isEmpty { fields.append((name, .list(values))) }
  }
  /// An enum's value; one that has no name here is shown by its number.
  public mutating func add(_ name: String, _ value: Int32, names: [String]) {
    if value == 0 { return }
    let known = Int(value) >= 0 && Int(value) < names.count
    fields.append((name, known ? .name(names[Int(value)]) : .integer(Int64(value))))
  }
  /// A value that is shown whatever it is.
  public mutating func add(_ name: String, _ value: Value) { fields.append((name, value)) }
  /// A message that is there, be it empty.
  public mutating func add(_ name: String, _ message: MessageText) {
    fields.append((name, .message(message)))
  }
}

// MARK: text

extension MessageText {
  /// protobuf's text on one line, as etcd's tools print it: `put:<key:"a" value:"b" >`.
  public var text: String {
    var parts: [String] = []
    for (name, value) in fields {
      if case .list(let values) = value {
        parts += values.map { Self.text(name, $0) }
      } else {
        parts.append(Self.text(name, value))
      }
    }
    return parts.joined(separator: " ")
  }

  private static func text(_ name: String, _ value: Value) -> String {
    switch value {
    case .integer(let number): "\(name):\(number)"
    case .unsigned(let number): "\(name):\(number)"
    case .boolean(let flag): "\(name):\(flag)"
    case .bytes(let bytes): "\(name):\(quoted(bytes))"
    case .text(let text): "\(name):\(quoted(Array(text.utf8)))"
    case .name(let constant): "\(name):\(constant)"
    case .message(let message): message.fields.isEmpty ? "\(name):<>" : "\(name):<\(message.text) >"
    case .list(let values): values.map { text(name, $0) }.joined(separator: " ")
    }
  }

  /// Bytes as protobuf's text has them: printable ASCII as it is, everything else in octal.
  static func quoted(_ bytes: [UInt8]) -> String {
    var result = "\""
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\""): result += "\\\""
      case UInt8(ascii: "\\"): result += "\\\\"
      case UInt8(ascii: "\n"): result += "\\n"
      case UInt8(ascii: "\r"): result += "\\r"
      case UInt8(ascii: "\t"): result += "\\t"
      case 0x20..<0x7f: result.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 8)
        result += "\\" + String(repeating: "0", count: 3 - digits.utf8.count) + digits
      }
    }
    return result + "\""
  }
}

// MARK: JSON

extension MessageText {
  /// One JSON object on one line; bytes in base64, as etcd's JSON has them.
  public var json: String {
    "{" + fields.map { "\(Self.jsonString($0.name)):\(Self.json($0.value))" }.joined(separator: ",") + "}"
  }

  private static func json(_ value: Value) -> String {
    switch value {
    case .integer(let number): "\(number)"
    case .unsigned(let number): "\(number)"
    case .boolean(let flag): "\(flag)"
    case .bytes(let bytes): "\"\(base64(bytes))\""
    case .text(let text): jsonString(text)
    case .name(let constant): jsonString(constant)
    case .message(let message): message.json
    case .list(let values): "[" + values.map(json).joined(separator: ",") + "]"
    }
  }

  static func jsonString(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  static func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
      let first = bytes[index]
      let second = index + 1 < bytes.count ? bytes[index + 1] : 0
      let third = index + 2 < bytes.count ? bytes[index + 2] : 0
      result.append(alphabet[Int(first >> 2)])
      result.append(alphabet[Int((first & 3) << 4 | second >> 4)])
      let padding = UInt8(ascii: "=")
      result.append(index + 1 < bytes.count ? alphabet[Int((second & 15) << 2 | third >> 6)] : padding)
      result.append(index + 2 < bytes.count ? alphabet[Int(third & 63)] : padding)
      index += 3
    }
    return String(decoding: result, as: UTF8.self)
  }
}
