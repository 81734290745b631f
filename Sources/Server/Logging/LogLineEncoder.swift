internal import Model

/// Bytes of one log line, in the two forms of etcd's logger.
///
///     {"level":"info","ts":"2026-01-02T03:04:05.678Z","caller":"server/member.swift:12","msg":"...","field":...}
///     2026-01-02T03:04:05.678Z<TAB>info<TAB>server/member.swift:12<TAB>...<TAB>{"field": ...}
struct LogLineEncoder {
  private(set) var bytes: [UInt8] = []

  static func caller(_ file: StaticString, _ line: UInt) -> String { "\(file)".lowercased() + ":\(line)" }

  mutating func encode(
    _ format: LogFormat, _ level: LogLevel, _ timestamp: LogTimestamp, caller: String, message: String,
    fields: LogFields
  ) {
    bytes.removeAll(keepingCapacity: true)
    switch format {
    case .json:
      append("{\"level\":\"")
      append("\(level.label)")
      append("\",\"ts\":\"")
      append(timestamp.text)
      append("\",\"caller\":")
      appendQuoted(caller)
      append(",\"msg\":")
      appendQuoted(message)
      appendFields(fields, first: ",")
      append("}\n")
    case .console:
      append("\(timestamp.text)\t\(level.label)\t\(caller)\t")
      // A line break in a message must not make a second line.
      append(message.replacing("\n", with: "\\n"))
      if !fields.pairs.isEmpty {
        append("\t{")
        appendFields(fields, first: "")
        append("}")
      }
      append("\n")
    }
  }

  private mutating func appendFields(_ fields: LogFields, first: String) {
    var separator = first
    for (name, value) in fields.pairs {
      append(separator)
      separator = ","
      appendQuoted(name)
      append(":")
      appendValue(value)
    }
  }

  private mutating func appendValue(_ value: LogValue) {
    switch value {
    case .text(let text): appendQuoted(text)
    case .integer(let number): append("\(number)")
    case .unsigned(let number): append("\(number)")
    case .boolean(let flag): append(flag ? "true" : "false")
    case .duration(let duration): appendQuoted(duration.description)
    case .id(let id): appendQuoted(String(id, radix: 16))
    case .list(let texts):
      append("[")
      for (position, text) in texts.enumerated() {
        if position > 0 { append(",") }
        appendQuoted(text)
      }
      append("]")
    }
  }

  private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// JSON text with zap's escapes: control characters, quotes and backslashes only.
  private mutating func appendQuoted(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\r"): append("\\r")
      case UInt8(ascii: "\t"): append("\\t")
      case ..<0x20: append("\\u00" + GoValueSyntax.hexadecimal(UInt64(byte), width: 2))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
