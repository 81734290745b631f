import EtcdAPI
import Model
import NIOCore
import Wire

extension LoopFrontend {
  /// Answers when the data file is rewritten. As in etcd the response has no header.
  func defragment(_ call: RPCCall) {
    let eventLoop = call.connection.eventLoop
    context.defragment { error in
      eventLoop.execute {
        if let error { return call.fail(error) }
        self.respond(call, Etcdserverpb_DefragmentResponse())
      }
    }
  }
}
