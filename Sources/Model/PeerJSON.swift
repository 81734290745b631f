// What members tell each other as JSON over their peer ports, beside Raft: their list, their versions and requests for
// hashes. Read tolerantly, and never with a trap: it comes from outside.

extension Member {
  /// `[{"id":1,...},...]`, as `GET /members` answers it.
  public static func listJSON(_ members: [Member]) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(ascii: "[")]
    for (offset, member) in members.enumerated() {
      if offset > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes += member.json
    }
    bytes.append(UInt8(ascii: "]"))
    return bytes
  }

  /// Nil if the bytes are no such list.
  public static func list(json: [UInt8]) -> [Member]? {
    var scanner = JSONScanner(json)
    var members: [Member] = []
    let isWhole = scanner.array { scanner in
      var member = Member(id: 0, peerURLs: [])
      guard scanner.object({ key, scanner in member.read(key, from: &scanner) }), member.id != 0 else {
        return false
      }
      members.append(member)
      return true
    }
    return isWhole && scanner.isAtEnd ? members : nil
  }
}

/// The answer to `GET /version`.
public enum VersionAnswer {
  /// The release that a member runs: the field `etcdserver`. Nil if the bytes do not say.
  public static func server(json: [UInt8]) -> String? { field("etcdserver", json) }

  /// The version that the cluster has settled on, or `not_decided`: the field `etcdcluster`.
  public static func cluster(json: [UInt8]) -> String? { field("etcdcluster", json) }

  private static func field(_ name: String, _ json: [UInt8]) -> String? {
    var scanner = JSONScanner(json)
    var version: String?
    let isWhole = scanner.object { key, scanner in
      guard key == name else { return scanner.skipValue() }
      version = scanner.string()
      return version != nil
    }
    return isWhole && scanner.isAtEnd ? version : nil
  }
}

/// The body of `GET /members/hashkv`.
public enum HashRequest {
  /// `{"revision":N}`; 0 when the field is missing, nil if the bytes are no such object.
  public static func revision(json: [UInt8]) -> Int64? {
    var scanner = JSONScanner(json)
    var revision: Int64 = 0
    let isWhole = scanner.object { key, scanner in
      guard key == "revision" else { return scanner.skipValue() }
      guard let value = scanner.unsignedInteger().flatMap({ Int64(exactly: $0) }) else { return false }
      revision = value
      return true
    }
    return isWhole && scanner.isAtEnd ? revision : nil
  }
}

/// The answer to it.
public struct HashAnswer: Equatable, Sendable {
  public var memberID: UInt64 = 0
  /// The header's.
  public var revision: Int64 = 0
  public var hash: UInt64 = 0
  public var compactRevision: Int64 = 0

  /// Nil if the bytes are no such answer.
  public init?(json: [UInt8]) {
    var scanner = JSONScanner(json)
    var answer = HashAnswer()
    var hasHash = false
    let isWhole = scanner.object { key, scanner in
      switch key {
      case "header": return scanner.object { answer.readHeader($0, from: &$1) }
      case "hash":
        hasHash = true
        return scanner.unsignedInteger().map { answer.hash = $0 } != nil
      case "compact_revision": return scanner.integer().map { answer.compactRevision = $0 } != nil
      default: return scanner.skipValue()
      }
    }
    guard isWhole, scanner.isAtEnd, hasHash else { return nil }
    self = answer
  }

  private init() {}

  private mutating func readHeader(_ key: String, from scanner: inout JSONScanner) -> Bool {
    switch key {
    case "member_id": scanner.unsignedInteger().map { memberID = $0 } != nil
    case "revision": scanner.integer().map { revision = $0 } != nil
    default: scanner.skipValue()
    }
  }
}
