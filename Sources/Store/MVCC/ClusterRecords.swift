public import Model
public import Primitives

// What the replicated state knows about the cluster itself: members (table `member`, keyed by id) and the
// cluster version (a row of `meta`).

/// A member as it is stored: membershippb.Member.
public struct MemberRecord: Hashable, Sendable {
  public var id: UInt64
  public var peerURLs: [String]
  public var isLearner: Bool
  /// Empty until the member has started once.
  public var name: String
  public var clientURLs: [String]

  public init(
    id: UInt64, peerURLs: [String], isLearner: Bool = false, name: String = "", clientURLs: [String] = []
  ) {
    self.id = id
    self.peerURLs = peerURLs
    self.isLearner = isLearner
    self.name = name
    self.clientURLs = clientURLs
  }
}

extension ReadView {
  /// All members by ascending id.
  public func members() throws(StoreError) -> [MemberRecord] {
    var records: [MemberRecord] = []
    try tableRows(.member, from: [], to: .unbounded) { (key, value) throws(StoreError) -> ScanStep in
      records.append(try MemberRecord(stored: [UInt8](value), key: [UInt8](key)))
      return .next
    }
    return records
  }

  /// The downgrade that is announced; not enabled when there is none.
  public func downgradeInfo() throws(StoreError) -> DowngradeInfo {
    guard let stored = try value(table: .meta, key: downgradeKey) else { return DowngradeInfo() }
    do throws(ProtoError) {
      return try DowngradeInfo(decoding: stored)
    } catch {
      throw .corrupt(file: "", table: .meta, key: downgradeKey, reason: "not a downgrade: \(error)")
    }
  }

  /// The ids of members that were removed, ascending.
  public func removedMembers() throws(StoreError) -> [UInt64] {
    var ids: [UInt64] = []
    let end = Array(removedPrefix.dropLast()) + [removedPrefix[removedPrefix.count - 1] + 1]
    try tableRows(.meta, from: removedPrefix, to: .before(end)) { (key, _) throws(StoreError) -> ScanStep in
      if key.count == removedPrefix.count + 8 {
        ids.append(key.dropFirst(removedPrefix.count).reduce(0) { $0 << 8 | UInt64($1) })
      }
      return .next
    }
    return ids
  }

  /// Nil until the first leader has set it.
  public func clusterVersion() throws(StoreError) -> String? {
    try value(table: .meta, key: clusterVersionKey).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension Applier {
  /// Adds or replaces a member, as part of the current entry.
  public func putMember(_ record: MemberRecord) throws(StoreError) {
    try putRow(table: .member, key: memberKey(record.id), value: record.encoded())
  }

  public func member(_ id: UInt64) throws(StoreError) -> MemberRecord? {
    let key = memberKey(id)
    guard let stored = try value(table: .member, key: key) else { return nil }
    return try MemberRecord(stored: stored, key: key)
  }

  /// All members by ascending id.
  public func members() throws(StoreError) -> [MemberRecord] {
    var records: [MemberRecord] = []
    try tableRows(.member, from: [], to: .unbounded) { (key, value) throws(StoreError) -> ScanStep in
      records.append(try MemberRecord(stored: [UInt8](value), key: [UInt8](key)))
      return .next
    }
    return records
  }

  /// Removes a member for good: its id is remembered and never used again.
  public func removeMember(_ id: UInt64) throws(StoreError) {
    if try member(id) != nil { try deleteRow(table: .member, key: memberKey(id)) }
    try putRow(table: .meta, key: removedKey(id), value: [])
  }

  /// Whether a member of this id was removed once.
  public func isRemoved(_ id: UInt64) throws(StoreError) -> Bool {
    try value(table: .meta, key: removedKey(id)) != nil
  }

  /// Nil until a leader has set it.
  public func clusterVersion() throws(StoreError) -> String? {
    try value(table: .meta, key: clusterVersionKey).map { String(decoding: $0, as: UTF8.self) }
  }

  /// What a member announces about itself after it has started. Of a member that is unknown, or has been removed
  /// since, nothing is kept.
  func setAttributes(_ attributes: MemberAttributes) throws(StoreError) {
    guard var record = try member(attributes.memberID) else { return }
    record.name = attributes.name
    record.clientURLs = attributes.clientURLs
    try putMember(record)
  }

  func setDowngrade(_ info: DowngradeInfo) throws(StoreError) {
    if info.enabled {
      try putRow(table: .meta, key: downgradeKey, value: info.encoded())
    } else {
      try deleteRow(table: .meta, key: downgradeKey)
    }
  }

  func setClusterVersion(_ version: String) throws(StoreError) {
    try putRow(table: .meta, key: clusterVersionKey, value: Array(version.utf8))
  }
}

private let clusterVersionKey = Array("clusterVersion".utf8)
private let downgradeKey = Array("downgrade".utf8)

/// A row of `meta` without content for each member that was removed: "removed:" and the id.
private let removedPrefix = Array("removed:".utf8)

private func removedKey(_ id: UInt64) -> [UInt8] {
  var key = removedPrefix
  key.appendBigEndian(id)
  return key
}

private func memberKey(_ id: UInt64) -> [UInt8] {
  var key: [UInt8] = []
  key.appendBigEndian(id)
  return key
}

extension MemberRecord: WireMessage {
  public init() { self.init(id: 0, peerURLs: []) }

  fileprivate init(stored: [UInt8], key: [UInt8]) throws(StoreError) {
    do throws(ProtoError) {
      try self.init(decoding: stored)
    } catch {
      throw .corrupt(file: "", table: .member, key: key, reason: "not a member: \(error)")
    }
  }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readVarint()
      case .length(2):
        var attributes = try reader.readMessage()
        while let tag = try attributes.nextTag() {
          switch tag {
          case .length(1): peerURLs.append(try attributes.readString())
          case .varint(2): isLearner = try attributes.readBool()
          default: try attributes.skip(tag)
          }
        }
      case .length(3):
        var attributes = try reader.readMessage()
        while let tag = try attributes.nextTag() {
          switch tag {
          case .length(1): name = try attributes.readString()
          case .length(2): clientURLs.append(try attributes.readString())
          default: try attributes.skip(tag)
          }
        }
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.uint64(1, id)
    writer.message(2, size: raftAttributesSize)
    for url in peerURLs { writer.stringField(1, url) }
    writer.bool(2, isLearner)
    writer.message(3, size: attributesSize)
    writer.string(1, name)
    for url in clientURLs { writer.stringField(2, url) }
  }

  public var encodedSize: Int {
    ProtoSize.uint64(1, id) + ProtoSize.message(2, size: raftAttributesSize)
      + ProtoSize.message(3, size: attributesSize)
  }

  private var raftAttributesSize: Int {
    peerURLs.reduce(ProtoSize.bool(2, isLearner)) { $0 + ProtoSize.message(1, size: $1.utf8.count) }
  }

  private var attributesSize: Int {
    clientURLs.reduce(ProtoSize.string(1, name)) { $0 + ProtoSize.message(2, size: $1.utf8.count) }
  }
}
