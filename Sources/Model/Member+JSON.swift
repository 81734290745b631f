// etcd keeps members as JSON: in the context of a configuration change and in its members bucket. Written byte for
// byte as Go's encoding/json writes `membership.Member`; read tolerantly (any order, unknown fields skipped).

extension Member {
  /// `{"id":1,"peerURLs":["http://h:2380"],"isLearner":true,"name":"n","clientURLs":["http://h:2379"]}`; the last
  /// three are left out when false or empty.
  public var json: [UInt8] {
    var text = "{"
    appendFields(to: &text)
    text += "}"
    return Array(text.utf8)
  }

  /// What stands between the braces.
  fileprivate func appendFields(to text: inout String) {
    text += "\"id\":\(id),\"peerURLs\":"
    // Go's nil: only a member that is named by its id alone has no URLs.
    if peerURLs.isEmpty { text += "null" } else { Self.append(peerURLs, to: &text) }
    if isLearner { text += ",\"isLearner\":true" }
    if !name.isEmpty {
      text += ",\"name\":"
      Self.append(name, to: &text)
    }
    if !clientURLs.isEmpty {
      text += ",\"clientURLs\":"
      Self.append(clientURLs, to: &text)
    }
  }

  /// Nil if the bytes are no JSON object, a known field has another type, or the id is missing.
  public init?(json: [UInt8]) {
    self.init(id: 0, peerURLs: [])
    var scanner = JSONScanner(json)
    var hasID = false
    let isWhole = scanner.object { key, scanner in
      if key == "id" { hasID = true }
      return read(key, from: &scanner)
    }
    guard isWhole, hasID, scanner.isAtEnd else { return nil }
  }

  /// Reads the value of one field; false if it has another type.
  mutating func read(_ key: String, from scanner: inout JSONScanner) -> Bool {
    switch key {
    case "id":
      guard let value = scanner.unsignedInteger() else { return false }
      id = value
      return true
    case "peerURLs": return Self.read(into: &peerURLs, from: &scanner)
    case "clientURLs": return Self.read(into: &clientURLs, from: &scanner)
    case "isLearner":
      guard let value = scanner.boolean() else { return false }
      isLearner = value
      return true
    case "name":
      guard let value = scanner.string() else { return false }
      name = value
      return true
    default: return scanner.skipValue()
    }
  }

  private static func read(into list: inout [String], from scanner: inout JSONScanner) -> Bool {
    guard let strings = scanner.strings() else { return false }
    list = strings
    return true
  }

  private static func append(_ list: [String], to text: inout String) {
    text += "["
    for (offset, element) in list.enumerated() {
      if offset > 0 { text += "," }
      append(element, to: &text)
    }
    text += "]"
  }

  private static func append(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      // What Go escapes so that JSON may stand in HTML and JavaScript.
      case "<", ">", "&", "\u{2028}", "\u{2029}", "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// membership.ConfigChangeContext of etcd: the context of a configuration change that adds or promotes a member.
public struct ConfigChangeContext: Hashable, Sendable {
  public var member: Member
  /// The member is a learner that becomes a voter; nothing else of it changes.
  public var isPromote: Bool

  public init(member: Member, isPromote: Bool) {
    self.member = member
    self.isPromote = isPromote
  }

  /// The member's JSON with one field more: `{"id":1,"peerURLs":["http://h:2380"],"isPromote":false}`.
  public var json: [UInt8] {
    var text = "{"
    member.appendFields(to: &text)
    text += ",\"isPromote\":\(isPromote)}"
    return Array(text.utf8)
  }

  /// Nil if the bytes are no JSON of a member. The changes that start a cluster carry the member alone.
  public init?(json: [UInt8]) {
    guard let member = Member(json: json) else { return nil }
    var isPromote = false
    var scanner = JSONScanner(json)
    let isWhole = scanner.object { key, scanner in
      guard key == "isPromote" else { return scanner.skipValue() }
      guard let value = scanner.boolean() else { return false }
      isPromote = value
      return true
    }
    guard isWhole else { return nil }
    self.init(member: member, isPromote: isPromote)
  }
}
