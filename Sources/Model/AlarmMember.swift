public import Primitives

/// etcdserverpb.AlarmMember: an alarm that a member has raised. Its encoding is the key of table `alarm`.
public struct AlarmMember: Hashable, Sendable {
  public var memberID: UInt64
  /// Raw enum value as it came; see `AlarmCommand.Alarm`.
  public var alarm: Int32

  public init(memberID: UInt64, alarm: Int32) {
    self.memberID = memberID
    self.alarm = alarm
  }

  public init(memberID: UInt64, alarm: AlarmCommand.Alarm) {
    self.init(memberID: memberID, alarm: alarm.rawValue)
  }
}

extension AlarmMember: WireMessage {
  public init() { self.init(memberID: 0, alarm: 0) }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): memberID = try reader.readVarint()
      case .varint(2): alarm = try reader.readInt32()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.uint64(1, memberID)
    writer.int32(2, alarm)
  }

  public var encodedSize: Int { ProtoSize.uint64(1, memberID) + ProtoSize.int32(2, alarm) }
}

extension AlarmMember: CustomStringConvertible {
  /// As Status reports it: `memberID:1234 alarm:NOSPACE`.
  public var description: String {
    let name = AlarmCommand.Alarm(rawValue: alarm)?.name ?? "\(alarm)"
    return "memberID:\(memberID) alarm:\(name)"
  }
}

extension AlarmCommand.Alarm {
  /// The name in the protocol.
  public var name: String {
    switch self {
    case .none: "NONE"
    case .noSpace: "NOSPACE"
    case .corrupt: "CORRUPT"
    }
  }
}
