public import Primitives

// The codecs of the commands that are replicated but not frequent.

extension LeaseGrant: WireMessage {
  public init() { self.init(id: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): ttl = try reader.readInt64()
      case .varint(2): id = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int64(1, ttl)
    writer.int64(2, id)
  }

  public var encodedSize: Int { ProtoSize.int64(1, ttl) + ProtoSize.int64(2, id) }
}

/// etcdserverpb.LeaseRevokeRequest.
struct LeaseRevoke: WireMessage {
  var id: Int64 = 0

  mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  func encode(into writer: inout ProtoWriter) { writer.int64(1, id) }

  var encodedSize: Int { ProtoSize.int64(1, id) }
}

extension LeaseCheckpoint: WireMessage {
  public init() { self.init(id: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): id = try reader.readInt64()
      case .varint(2): remainingTTL = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int64(1, id)
    writer.int64(2, remainingTTL)
  }

  public var encodedSize: Int { ProtoSize.int64(1, id) + ProtoSize.int64(2, remainingTTL) }
}

/// etcdserverpb.LeaseCheckpointRequest.
struct LeaseCheckpointList: WireMessage {
  var checkpoints: [LeaseCheckpoint] = []

  mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1):
        var checkpoint = LeaseCheckpoint()
        try checkpoint.mergeField(&reader)
        checkpoints.append(checkpoint)
      default: try reader.skip(tag)
      }
    }
  }

  func encode(into writer: inout ProtoWriter) {
    for checkpoint in checkpoints { writer.messageField(1, checkpoint) }
  }

  var encodedSize: Int {
    checkpoints.reduce(0) { size, checkpoint in size + ProtoSize.messageField(1, checkpoint) }
  }
}

extension AlarmCommand: WireMessage {
  public init() { self.init(action: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): action = try reader.readInt32()
      case .varint(2): memberID = try reader.readVarint()
      case .varint(3): alarm = try reader.readInt32()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int32(1, action)
    writer.uint64(2, memberID)
    writer.int32(3, alarm)
  }

  public var encodedSize: Int {
    ProtoSize.int32(1, action) + ProtoSize.uint64(2, memberID) + ProtoSize.int32(3, alarm)
  }
}

/// membershippb.ClusterVersionSetRequest.
struct ClusterVersion: WireMessage {
  var text = ""

  mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): text = try reader.readString()
      default: try reader.skip(tag)
      }
    }
  }

  func encode(into writer: inout ProtoWriter) { writer.string(1, text) }

  var encodedSize: Int { ProtoSize.string(1, text) }
}

/// The attributes' submessage is always written, as etcd does.
extension MemberAttributes: WireMessage {
  public init() { self.init(memberID: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): memberID = try reader.readVarint()
      case .length(2):
        var inner = try reader.readMessage()
        try mergeAttributes(from: &inner)
      default: try reader.skip(tag)
      }
    }
  }

  private mutating func mergeAttributes(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1): name = try reader.readString()
      case .length(2): clientURLs.append(try reader.readString())
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.uint64(1, memberID)
    writer.message(2, size: attributesSize)
    writer.string(1, name)
    for url in clientURLs { writer.stringField(2, url) }
  }

  public var encodedSize: Int {
    ProtoSize.uint64(1, memberID) + ProtoSize.message(2, size: attributesSize)
  }

  private var attributesSize: Int {
    clientURLs.reduce(ProtoSize.string(1, name)) { size, url in
      size + ProtoSize.message(2, size: url.utf8.count)
    }
  }
}

extension DowngradeInfo: WireMessage {
  public init() { self.init(enabled: false) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): enabled = try reader.readBool()
      case .length(2): version = try reader.readString()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.bool(1, enabled)
    writer.string(2, version)
  }

  public var encodedSize: Int { ProtoSize.bool(1, enabled) + ProtoSize.string(2, version) }
}
