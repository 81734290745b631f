internal import Glibc
import NIOCore
import NIOPosix

// A way to the server's own RPC services for what runs inside it. It is a connection like any other, so calls made
// on it have the same checks, limits, cancellation and flow control as those from outside.
extension ServerLoop {
  /// Connects a client to this loop's services by a pair of sockets, both ends on this loop.
  func connectInward() -> EventLoopFuture<ClientConnection> {
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard !isDraining, socketpair(AF_UNIX, type, 0, &ends) == 0 else {
      return eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel)
    }
    let highWater = options.outputChunkBytes * 2
    let server = ClientBootstrap(group: eventLoop)
      .channelOption(ChannelOptions.maxMessagesPerRead, value: 4)
      .channelOption(
        ChannelOptions.writeBufferWaterMark, value: .init(low: highWater / 4, high: highWater)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = ServerConnection(channel: channel, loop: self)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
      .withConnectedSocket(ends[0])
    let client = ClientConnection.adopt(socket: ends[1], on: eventLoop)
    server.whenFailure { _ in client.whenSuccess { $0.close() } }
    client.whenFailure { _ in server.whenSuccess { $0.close(promise: nil) } }
    return server.and(client).map { $0.1 }
  }
}
