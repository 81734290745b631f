import EtcdAPI
import Model
import Primitives
import Store
import Synchronization
import Wire

// Alarms, and the quota that raises one of them.

extension LoopFrontend {
  /// Lists, raises or lowers alarms. Listing needs no entry in the log: it is a linearizable read.
  func alarm(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: AlarmCommand
    do throws(ProtoError) {
      request = try AlarmCommand(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if request.action == AlarmCommand.Action.get.rawValue {
      confirmRead(call, .afterRead { [unowned self] call in serveAlarmList(call, request) })
    } else {
      propose(call, .command, operation: Self.operation(10, message))
    }
  }

  func serveAlarmList(_ call: RPCCall, _ request: AlarmCommand) {
    do throws(StoreError) {
      let view = try view()
      var writer = builder.begin(revision: view.revision, term: term, reserving: 64)
      for alarm in try view.alarms().members where request.alarm == 0 || request.alarm == alarm.alarm {
        writer.messageField(2, alarm)
      }
      call.respond(writer.bytes)
    } catch {
      fail(call, error)
    }
  }

  /// Refuses a call that would add `cost` bytes to a store that has no room for them; true if it did. As in etcd this
  /// comes before any other check, and the refusal follows once NOSPACE is raised for this member.
  @inline(__always)
  func exceedsQuota(_ call: RPCCall, _ cost: Int64) -> Bool {
    if context.store.hasRoom(for: cost, quotaBytes: context.quotaBytes) { return false }
    refuseForSpace(call)
    return true
  }

  private func refuseForSpace(_ call: RPCCall) {
    if alarms.contains(.ownNoSpace) { return call.fail(.noSpace) }
    let alarm = AlarmCommand(action: .activate, memberID: context.memberID, alarm: .noSpace)
    propose(call, .refusal(.noSpace), operation: RaftCommand(operation: .alarm(alarm)).encoded())
  }

  /// The same for a request of the member itself.
  func refuseForSpace(_ refused: @escaping () -> Void) {
    if alarms.contains(.ownNoSpace) { return refused() }
    let alarm = AlarmCommand(action: .activate, memberID: context.memberID, alarm: .noSpace)
    propose(nil, .local { _ in refused() }, operation: RaftCommand(operation: .alarm(alarm)).encoded())
  }

  /// The alarms as of the last batch that the member's thread took.
  var alarms: AlarmFlags { AlarmFlags(rawValue: context.gauge.alarms.load(ordering: .relaxed)) }
}
