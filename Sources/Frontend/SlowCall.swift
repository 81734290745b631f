import EtcdAPI
import NIOCore
import Node
import Wire

/// A unary call that took longer than `FrontendContext.slowCallNanoseconds`.
public struct SlowCall: Sendable {
  /// `/package.Service/Method`
  public var path: String
  /// The client's address and port.
  public var remote: String
  /// From the arrival of its headers to its answer.
  public var nanoseconds: Int64
  /// -1 when it has failed.
  public var responseBytes: Int
}

extension LoopFrontend {
  /// Reports the call of an answer that ends it, if it was slow. A read that may now be made is timed when it is made.
  func noteIfSlow(_ waiting: PendingCalls.Pending, _ answer: Answer, now: NIODeadline) {
    guard let call = waiting.call, now - call.begunAt > .nanoseconds(context.slowCallNanoseconds) else {
      return
    }
    switch answer {
    case .applied(_, _, let body): noteIfSlow(call, now: now, responseBytes: body.count)
    case .failed: noteIfSlow(call, now: now, responseBytes: -1)
    case .readReady, .lease: break
    }
  }

  /// Reports a call if it was slow. The caller reads the clock, once for a batch of answers.
  func noteIfSlow(_ call: RPCCall, now: NIODeadline, responseBytes: Int) {
    let spent = (now - call.begunAt).nanoseconds
    guard spent > context.slowCallNanoseconds, call.isOpen else { return }
    let address = call.connection.channel.remoteAddress
    context.reportSlowCall(
      SlowCall(
        path: "\(FrontendContext.methods[call.method].path)",
        remote: address.map { "\($0.ipAddress ?? ""):\($0.port ?? 0)" } ?? "",
        nanoseconds: spent, responseBytes: responseBytes))
  }
}
