internal import Model

/// What a member says that it runs.
public struct MemberVersion: Hashable, Sendable {
  public var memberID: UInt64
  /// "3.7.0"
  public var version: String

  public init(memberID: UInt64, version: String) {
    self.memberID = memberID
    self.version = version
  }
}

/// The leader's care for the cluster's version: the least minor version that any member runs. It only rises.
struct ClusterVersionDuty {
  private let own: MemberVersion
  /// What was heard and not looked at yet.
  private var heard: [MemberVersion]?

  init(memberID: UInt64, version: String) { own = MemberVersion(memberID: memberID, version: version) }

  var isDue: Bool { heard != nil }

  mutating func take(_ versions: [MemberVersion]) { heard = versions }

  /// The version to be set; nil if there is nothing to do, or a member's is not known.
  mutating func due(members: [UInt64], present: String?) -> String? {
    guard let heard else { return nil }
    self.heard = nil
    let known = heard.filter { $0.memberID != own.memberID } + [own]
    var least: Minor?
    for member in members {
      guard let version = known.first(where: { $0.memberID == member }).flatMap({ Minor($0.version) }) else {
        return nil
      }
      least = least.map { min($0, version) } ?? version
    }
    guard let least else { return nil }
    if let present = present.flatMap(Minor.init), present >= least { return nil }
    return least.text
  }

  /// Major and minor number of a version.
  private struct Minor: Comparable {
    var major: UInt32
    var minor: UInt32

    init?(_ text: String) {
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count >= 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
      (self.major, self.minor) = (major, minor)
    }

    var text: String { "\(major).\(minor).0" }

    static func < (a: Minor, b: Minor) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
  }
}
