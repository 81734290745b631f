import NIOCore
import NIOHTTP1
import NIOPosix

/// Accepts the connections of peers. Confined to the peers' event loop.
final class PeerListener: @unchecked Sendable {
  // Sendable by proof: variables are touched on the peers' event loop alone.
  private let network: PeerNetwork
  private let makeTransportHandlers: (@Sendable (any Channel) throws -> [any ChannelHandler])?
  private var listeners: [any Channel] = []
  private var isStopped = false
  private var connections: [ObjectIdentifier: any Channel] = [:]

  init(
    network: PeerNetwork, makeTransportHandlers: (@Sendable (any Channel) throws -> [any ChannelHandler])?
  ) {
    self.network = network
    self.makeTransportHandlers = makeTransportHandlers
  }

  /// Binds an address; port 0 picks a free one.
  func listen(host: String, port: Int) -> EventLoopFuture<SocketAddress?> {
    let writeBufferBytes = network.limits.writeBufferBytes
    return ServerBootstrap(group: network.eventLoop)
      .serverChannelOption(ChannelOptions.backlog, value: 128)
      .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Out of file descriptors: wait a second, do not spin.
          try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
        }
      }
      .childChannelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(
        ChannelOptions.writeBufferWaterMark, value: .init(low: writeBufferBytes / 4, high: writeBufferBytes)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try self.accept(channel) }
      }
      .bind(host: host, port: port)
      .map { channel in
        self.listeners.append(channel)
        return channel.localAddress
      }
  }

  func stop() {
    isStopped = true
    for listener in listeners { listener.close(promise: nil) }
    listeners = []
    closeConnections()
  }

  func closeConnections() {
    for connection in connections.values { connection.close(promise: nil) }
  }

  private func accept(_ channel: any Channel) throws {
    guard !isStopped, connections.count < network.limits.connections else {
      network.callbacks.notice(.tooManyConnections)
      throw ChannelError.eof
    }
    let id = ObjectIdentifier(channel)
    connections[id] = channel
    channel.closeFuture.whenComplete { _ in self.connections[id] = nil }
    let pipeline = channel.pipeline.syncOperations
    for handler in try makeTransportHandlers?(channel) ?? [] { try pipeline.addHandler(handler) }
    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false, withErrorHandling: true)
    try pipeline.addHandler(PeerConnection(network: network))
  }
}
