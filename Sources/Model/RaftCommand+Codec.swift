public import Primitives

extension RaftCommand: WireMessage {
  public init() { self.init(id: 0) }

  /// etcd's message is no union: were two operations set, its apply would take the first in the order of
  /// `rank`. So do we, in order that members of both kinds apply the same.
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    var legacyID: UInt64 = 0
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): legacyID = try reader.readVarint()
      case .length(100):
        var header = try reader.readMessage()
        try mergeHeader(from: &header)
      default:
        guard tag.wireType == 2, let operation = try readOperation(tag.field, &reader) else {
          try reader.skip(tag)
          continue
        }
        if operation.rank <= self.operation.rank { self.operation = operation }
      }
    }
    if legacyID != 0 { id = legacyID }
  }

  private mutating func mergeHeader(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readVarint()
      case .length(2): username = try reader.readString()
      case .varint(3): authRevision = try reader.readVarint()
      default: try reader.skip(tag)
      }
    }
  }

  /// The operation in a field, merged with an earlier occurrence of the same field; nil for other fields.
  private func readOperation(
    _ field: Int, _ reader: inout ProtoReader
  ) throws(ProtoError) -> Operation? {
    switch field {
    case 3:
      var request = RangeRequest()
      if case .range(let earlier) = operation { request = earlier }
      try request.mergeField(&reader)
      return .range(request)
    case 4:
      var request = PutRequest()
      if case .put(let earlier) = operation { request = earlier }
      try request.mergeField(&reader)
      return .put(request)
    case 5:
      var request = DeleteRangeRequest()
      if case .deleteRange(let earlier) = operation { request = earlier }
      try request.mergeField(&reader)
      return .deleteRange(request)
    case 6:
      var request = TransactionRequest()
      if case .transaction(let earlier) = operation { request = earlier }
      try request.mergeField(&reader)
      return .transaction(request)
    case 7:
      var request = CompactionRequest()
      if case .compaction(let earlier) = operation { request = earlier }
      try request.mergeField(&reader)
      return .compaction(request)
    default:
      return try readRareOperation(field, &reader)
    }
  }

  private func readRareOperation(
    _ field: Int, _ reader: inout ProtoReader
  ) throws(ProtoError) -> Operation? {
    switch field {
    case 8:
      var grant = LeaseGrant()
      if case .leaseGrant(let earlier) = operation { grant = earlier }
      try grant.mergeField(&reader)
      return .leaseGrant(grant)
    case 9:
      var revoke = LeaseRevoke()
      if case .leaseRevoke(let earlier) = operation { revoke.id = earlier }
      try revoke.mergeField(&reader)
      return .leaseRevoke(id: revoke.id)
    case 10:
      var alarm = AlarmCommand()
      if case .alarm(let earlier) = operation { alarm = earlier }
      try alarm.mergeField(&reader)
      return .alarm(alarm)
    case 11:
      var list = LeaseCheckpointList()
      if case .leaseCheckpoint(let earlier) = operation { list.checkpoints = earlier }
      try list.mergeField(&reader)
      return .leaseCheckpoint(list.checkpoints)
    case 1300:
      var version = ClusterVersion()
      if case .clusterVersionSet(let earlier) = operation { version.text = earlier }
      try version.mergeField(&reader)
      return .clusterVersionSet(version.text)
    case 1301:
      var attributes = MemberAttributes()
      if case .clusterMemberAttributesSet(let earlier) = operation { attributes = earlier }
      try attributes.mergeField(&reader)
      return .clusterMemberAttributesSet(attributes)
    case 1302:
      var info = DowngradeInfo()
      if case .downgradeInfoSet(let earlier) = operation { info = earlier }
      try info.mergeField(&reader)
      return .downgradeInfoSet(info)
    case 1000, 1011...1013, 1100...1107, 1200...1204, 9900:
      _ = unsafe try reader.readBuffer()
      return .unsupported(field: field)
    default:
      return nil
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    let field = operation.field
    if field < 100 { operation.encode(into: &writer) }
    if headerSize > 0 {
      writer.message(100, size: headerSize)
      writer.uint64(1, id)
      writer.string(2, username)
      writer.uint64(3, authRevision)
    }
    if field > 100 { operation.encode(into: &writer) }
  }

  public var encodedSize: Int {
    operation.encodedSize + ProtoSize.bytes(100, count: headerSize)
  }

  private var headerSize: Int {
    ProtoSize.uint64(1, id) + ProtoSize.string(2, username) + ProtoSize.uint64(3, authRevision)
  }
}

extension RaftCommand.Operation {
  /// The field of InternalRaftRequest; zero for none.
  public var field: Int {
    switch self {
    case .none: 0
    case .range: 3
    case .put: 4
    case .deleteRange: 5
    case .transaction: 6
    case .compaction: 7
    case .leaseGrant: 8
    case .leaseRevoke: 9
    case .alarm: 10
    case .leaseCheckpoint: 11
    case .clusterVersionSet: 1300
    case .clusterMemberAttributesSet: 1301
    case .downgradeInfoSet: 1302
    case .unsupported(let field): field
    }
  }

  /// The place of an operation in the order in which etcd's apply looks for one.
  fileprivate var rank: Int {
    switch self {
    case .clusterVersionSet: 0
    case .clusterMemberAttributesSet: 1
    case .downgradeInfoSet: 2
    case .range: 3
    case .put: 4
    case .deleteRange: 5
    case .transaction: 6
    case .compaction: 7
    case .leaseGrant: 8
    case .leaseRevoke: 9
    case .leaseCheckpoint: 10
    case .alarm: 11
    case .unsupported(let field): field
    case .none: .max
    }
  }

  fileprivate func encode(into writer: inout ProtoWriter) {
    switch self {
    case .none: break
    case .range(let request): writer.messageField(3, request)
    case .put(let request): writer.messageField(4, request)
    case .deleteRange(let request): writer.messageField(5, request)
    case .transaction(let request): writer.messageField(6, request)
    case .compaction(let request): writer.messageField(7, request)
    case .leaseGrant(let grant): writer.messageField(8, grant)
    case .leaseRevoke(let id): writer.messageField(9, LeaseRevoke(id: id))
    case .alarm(let alarm): writer.messageField(10, alarm)
    case .leaseCheckpoint(let list): writer.messageField(11, LeaseCheckpointList(checkpoints: list))
    case .clusterVersionSet(let text): writer.messageField(1300, ClusterVersion(text: text))
    case .clusterMemberAttributesSet(let attributes): writer.messageField(1301, attributes)
    case .downgradeInfoSet(let info): writer.messageField(1302, info)
    case .unsupported(let field): writer.message(field, size: 0)
    }
  }

  fileprivate var encodedSize: Int {
    switch self {
    case .none: 0
    case .range(let request): ProtoSize.messageField(3, request)
    case .put(let request): ProtoSize.messageField(4, request)
    case .deleteRange(let request): ProtoSize.messageField(5, request)
    case .transaction(let request): ProtoSize.messageField(6, request)
    case .compaction(let request): ProtoSize.messageField(7, request)
    case .leaseGrant(let grant): ProtoSize.messageField(8, grant)
    case .leaseRevoke(let id): ProtoSize.messageField(9, LeaseRevoke(id: id))
    case .alarm(let alarm): ProtoSize.messageField(10, alarm)
    case .leaseCheckpoint(let list): ProtoSize.messageField(11, LeaseCheckpointList(checkpoints: list))
    case .clusterVersionSet(let text): ProtoSize.messageField(1300, ClusterVersion(text: text))
    case .clusterMemberAttributesSet(let attributes): ProtoSize.messageField(1301, attributes)
    case .downgradeInfoSet(let info): ProtoSize.messageField(1302, info)
    case .unsupported(let field): ProtoSize.message(field, size: 0)
    }
  }
}
