import Glibc
public import NIOCore
import NIOPosix
import Synchronization

/// A listener for gRPC over HTTP/2 and for HTTP/1.1 on the same ports.
///
/// `Sendable`: its methods may be called from any thread.
public final class WireServer: Sendable {
  /// What a server is made of.
  public struct Configuration: Sendable {
    public var options: ServerOptions
    public var methods: MethodTable
    /// Makes the handler of one event loop; called on that loop, once, before its first connection.
    public var makeHandler: @Sendable (any EventLoop) -> any RPCHandler
    /// For HTTP/1.1; without one such connections are closed.
    public var http1: (any HTTP1Handler)?
    /// Handlers between the socket and the protocol, outermost first: the place for TLS.
    public var makeTransportHandlers: @Sendable (any Channel) throws -> [any ChannelHandler]

    public init(
      options: ServerOptions = ServerOptions(), methods: MethodTable, http1: (any HTTP1Handler)? = nil,
      makeHandler: @escaping @Sendable (any EventLoop) -> any RPCHandler
    ) {
      self.options = options
      self.methods = methods
      self.http1 = http1
      self.makeHandler = makeHandler
      self.makeTransportHandlers = { _ in [] }
    }
  }

  /// SwiftNIO has no name for it.
  private static let reusePort = NIOBSDSocket.Option(rawValue: SO_REUSEPORT)

  private struct State {
    var listeners: [any Channel] = []
    var stopping = false
  }

  private let group: any EventLoopGroup
  private let loops: [ObjectIdentifier: ServerLoop]
  private let configuration: Configuration
  private let state = Mutex(State())

  /// Prepares one handler per loop of `group`, which the caller owns and shuts down after the server.
  public static func make(
    group: any EventLoopGroup, configuration: Configuration
  ) -> EventLoopFuture<WireServer> {
    let made = group.makeIterator().map { eventLoop in
      eventLoop.submit {
        ServerLoop(
          eventLoop: eventLoop, options: configuration.options, methods: configuration.methods,
          handler: configuration.makeHandler(eventLoop), http1: configuration.http1)
      }
    }
    return EventLoopFuture.whenAllSucceed(made, on: group.any()).map { loops in
      WireServer(group: group, loops: loops, configuration: configuration)
    }
  }

  private init(group: any EventLoopGroup, loops: [ServerLoop], configuration: Configuration) {
    self.group = group
    self.configuration = configuration
    self.loops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0) })
  }

  public var methods: [RPCMethod] { configuration.methods.methods }
  /// What has been counted on each loop.
  public var callMetrics: [CallMetrics] { loops.values.map(\.metrics) }

  /// Starts to accept connections on an address; port 0 picks a free one.
  /// - Returns: the address bound.
  public func listen(
    host: String, port: Int, serving service: ListenerService = .everything
  ) -> EventLoopFuture<SocketAddress?> {
    listening(bootstrap(service).bind(host: host, port: port))
  }

  /// Starts to accept connections on a Unix socket, whose name must not exist.
  public func listen(
    path: String, serving service: ListenerService = .everything
  ) -> EventLoopFuture<SocketAddress?> {
    listening(bootstrap(service).bind(unixDomainSocketPath: path))
  }

  private func bootstrap(_ service: ListenerService) -> ServerBootstrap {
    let loops = self.loops
    let makeTransportHandlers = configuration.makeTransportHandlers
    let reusesPort = configuration.options.reusesPort
    let highWater = configuration.options.outputChunkBytes * 2
    return ServerBootstrap(group: group)
      .serverChannelOption(ChannelOptions.backlog, value: 1024)
      .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Out of file descriptors: wait a second, do not spin.
          try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
          if reusesPort { try channel.syncOptions?.setOption(.socketOption(Self.reusePort), value: 1) }
        }
      }
      .childChannelOption(ChannelOptions.maxMessagesPerRead, value: 4)
      .childChannelOption(
        ChannelOptions.writeBufferWaterMark, value: .init(low: highWater / 4, high: highWater)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let loop = loops[ObjectIdentifier(channel.eventLoop)] else { throw ChannelError.eof }
          let pipeline = channel.pipeline.syncOperations
          let isTCP = channel.localAddress?.port != nil
          if isTCP { try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
          for handler in try makeTransportHandlers(channel) { try pipeline.addHandler(handler) }
          try pipeline.addHandler(ProtocolSniffer(loop: loop, service: service))
        }
      }
  }

  private func listening(_ bound: EventLoopFuture<any Channel>) -> EventLoopFuture<SocketAddress?> {
    bound.map { channel in
      let stopping = self.state.withLock { state in
        if !state.stopping { state.listeners.append(channel) }
        return state.stopping
      }
      if stopping { channel.close(promise: nil) }
      return channel.localAddress
    }
  }

  /// Open HTTP/2 connections on all loops.
  public func connectionCount() -> EventLoopFuture<Int> {
    let counts = loops.values.map { loop in loop.eventLoop.submit { loop.connectionCount } }
    return EventLoopFuture.reduce(0, counts, on: group.any(), +)
  }

  /// Stops accepting, tells clients to go elsewhere, and lets open calls finish for at most `grace`; then closes.
  public func shutDown(grace: TimeAmount) -> EventLoopFuture<Void> {
    let listeners = state.withLock { state in
      state.stopping = true
      defer { state.listeners = [] }
      return state.listeners
    }
    for listener in listeners { listener.close(promise: nil) }
    let deadline = NIODeadline.now() + grace
    let drained = loops.values.map { loop in
      loop.eventLoop.flatSubmit {
        loop.drain()
        return self.waitUntilEmpty(loop, deadline: deadline)
      }
    }
    return EventLoopFuture.andAllSucceed(drained, on: group.any())
  }

  private func waitUntilEmpty(_ loop: ServerLoop, deadline: NIODeadline) -> EventLoopFuture<Void> {
    if loop.connectionCount == 0 { return loop.eventLoop.makeSucceededVoidFuture() }
    if NIODeadline.now() >= deadline {
      loop.closeAll()
      return loop.eventLoop.makeSucceededVoidFuture()
    }
    return loop.eventLoop.flatScheduleTask(in: .milliseconds(10)) {
      self.waitUntilEmpty(loop, deadline: deadline)
    }.futureResult
  }
}
