import Model
import Primitives

extension CommandApplier {
  /// Raises, lowers or lists alarms. The answer holds what is raised now, what was lowered, or what was asked for.
  ///
  /// An action or an alarm that this version does not know changes nothing and is answered with an empty list: etcd
  /// ends the process there, and a committed command must never do that.
  mutating func alarm(_ request: AlarmCommand) throws(StoreError) -> ApplyResult {
    let alarm = AlarmMember(memberID: request.memberID, alarm: request.alarm)
    var listed: [AlarmMember] = []
    switch (AlarmCommand.Action(rawValue: request.action), AlarmCommand.Alarm(rawValue: request.alarm)) {
    case (.get, _): listed = alarms.members.filter { request.alarm == 0 || $0.alarm == request.alarm }
    case (.activate, .noSpace), (.activate, .corrupt):
      if !alarms.contains(alarm) {
        try applier.putRow(table: .alarm, key: alarm.encoded(), value: [])
        alarms.insert(alarm)
      }
      listed = [alarm]
    case (.deactivate, _):
      guard alarms.contains(alarm) else { break }
      try applier.deleteRow(table: .alarm, key: alarm.encoded())
      alarms.remove(alarm)
      listed = [alarm]
    case (.activate, _), (nil, _): break
    }
    var body = ProtoWriter()
    for alarm in listed { body.messageField(2, alarm) }
    return success(body)
  }
}
