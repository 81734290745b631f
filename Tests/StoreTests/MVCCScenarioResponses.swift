import Model
import Primitives

/// Encoded responses as scenario files show them.
enum ScenarioResponse {
  static func lines(range body: [UInt8]) throws -> [String] {
    var lines: [String] = []
    var end = ""
    try forEachField(body) { field, value, content in
      switch field {
      case 2: lines.append(try text(content))
      case 3: end += " more"
      case 4: end = "count \(value)" + end
      default: lines.append("unexpected field \(field)")
      }
    }
    return lines + [end.isEmpty ? "count 0" : end]
  }

  static func lines(put body: [UInt8]) throws -> [String] {
    var lines: [String] = []
    try forEachField(body) { field, _, content in
      lines.append(field == 2 ? "previous " + (try text(content)) : "unexpected field \(field)")
    }
    return lines
  }

  static func lines(deleteRange body: [UInt8]) throws -> [String] {
    var lines: [String] = []
    var deleted: UInt64 = 0
    try forEachField(body) { field, value, content in
      switch field {
      case 2: deleted = value
      case 3: lines.append("previous " + (try text(content)))
      default: lines.append("unexpected field \(field)")
      }
    }
    return ["deleted \(deleted)"] + lines
  }

  static func lines(transaction body: [UInt8]) throws -> [String] {
    var succeeded = false
    var lines: [String] = []
    try forEachField(body) { field, value, content in
      switch field {
      case 2: succeeded = value == 1
      case 3:
        try forEachField(content) { kind, _, response in
          let (header, body) = try split(response)
          let (name, inner): (String, [String]) =
            switch kind {
            case 1: ("range", try self.lines(range: body))
            case 2: ("put", try self.lines(put: body))
            case 3: ("delete", try self.lines(deleteRange: body))
            default: ("txn", try self.lines(transaction: body))
            }
          lines.append("\(name) \(header)")
          lines += inner.map { "  " + $0 }
        }
      default: lines.append("unexpected field \(field)")
      }
    }
    return [succeeded ? "succeeded" : "failed"] + lines
  }

  private static func text(_ encoded: [UInt8]) throws -> String {
    let kv = try KeyValue(decoding: encoded)
    return scenarioText(kv.key) + "=" + scenarioText(kv.value)
      + " create \(kv.createRevision) mod \(kv.modRevision) version \(kv.version)"
      + (kv.lease == 0 ? "" : " lease \(kv.lease)")
  }

  /// The header of a response inside a transaction, and the rest.
  private static func split(_ response: [UInt8]) throws -> (header: String, body: [UInt8]) {
    var reader = ProtoWriter()
    var header = "without header"
    try forEachField(response) { field, value, content in
      if field == 1 {
        let decoded = try ResponseHeader(decoding: content)
        header = decoded == ResponseHeader() ? "empty header" : "revision \(decoded.revision)"
      } else if content.isEmpty && value != 0 {
        reader.varintField(field, value)
      } else {
        reader.bytesField(field, content)
      }
    }
    return (header, reader.bytes)
  }

  private static func forEachField(
    _ message: [UInt8], _ body: (_ field: Int, _ value: UInt64, _ content: [UInt8]) throws -> Void
  ) throws {
    try message.withUnsafeBytes { bytes in
      var reader = ProtoReader(bytes)
      while let tag = try reader.nextTag() {
        if tag.wireType == 0 {
          try body(tag.field, try reader.readVarint(), [])
        } else {
          try body(tag.field, 0, try reader.readBytes())
        }
      }
    }
  }
}
