public import EtcdAPI
internal import Model
public import NIOCore
internal import Synchronization
public import Wire

/// A client of etcd's API over one connection, which is made on first use and again after it was lost.
///
/// For tools, tests and users; a caller that counts microseconds uses `Wire.ClientConnection` itself, as
/// cairn-bench does. A call is never repeated: whether it is safe to do so only the caller knows.
/// Failures of calls are `ClientError`.
public final class EtcdClient: Sendable {
  private struct State {
    var connection: EventLoopFuture<ClientConnection>?
    /// Of `endpoints`; moves on when a connection cannot be made.
    var endpointIndex = 0
    var isClosed = false
  }

  public let endpoints: [Endpoint]
  public let callOptions: CallOptions
  /// Where callbacks run.
  public let eventLoop: any EventLoop
  private let connectionOptions: ClientConnection.Options
  /// By raw value of `EtcdMethod`. The authority is the first endpoint's: etcd does not look at it.
  private let methods: [ClientMethod]
  private let state = Mutex(State())

  /// - Parameters:
  ///   - endpoints: at least one; tried in turn.
  ///   - callOptions: of every call: timeout, token.
  public init(
    endpoints: [Endpoint], eventLoop: any EventLoop, callOptions: CallOptions = CallOptions(),
    connectionOptions: ClientConnection.Options = ClientConnection.Options()
  ) {
    precondition(!endpoints.isEmpty, "a client needs an endpoint")
    self.endpoints = endpoints
    self.eventLoop = eventLoop
    self.callOptions = callOptions
    self.connectionOptions = connectionOptions
    let authority = endpoints[0].description
    self.methods = EtcdMethod.allCases.map { ClientMethod("\($0.path)", authority: authority) }
  }

  /// The headers of a method for `ClientConnection.start`.
  public func method(_ method: EtcdMethod) -> ClientMethod { methods[method.rawValue] }

  /// The connection in use, or a new one. Fails with `ClientError` when no endpoint answers.
  public func connection() async throws -> ClientConnection { try await usableConnection().get() }

  /// The same as a future of `eventLoop`.
  func usableConnection() -> EventLoopFuture<ClientConnection> {
    // A connection that had gone stale uses up an attempt: one more for a fresh one.
    tryEndpoints(attemptsLeft: endpoints.count + 1, ClientError(.unavailable, "client is closed"))
  }

  private func tryEndpoints(attemptsLeft: Int, _ lastError: ClientError) -> EventLoopFuture<ClientConnection>
  {
    guard attemptsLeft > 0, let attempt = currentAttempt() else {
      return eventLoop.makeFailedFuture(lastError)
    }
    let outcome = attempt.future.map { Result<ClientConnection, any Error>.success($0) }
      .flatMapErrorThrowing { .failure($0) }
    return outcome.flatMap { [self] outcome in
      switch outcome {
      case .success(let connection) where connection.isUsable:
        return eventLoop.makeSucceededFuture(connection)
      case .success:
        forget(attempt.future, moveOn: false)
        return tryEndpoints(
          attemptsLeft: attemptsLeft - 1, ClientError(.unavailable, "connection closed"))
      case .failure(let error):
        forget(attempt.future, moveOn: true)
        return tryEndpoints(
          attemptsLeft: attemptsLeft - 1,
          ClientError(.unavailable, "cannot connect to \(attempt.endpoint): \(error)"))
      }
    }
  }

  /// Closes the connection; calls in flight end with Unavailable, later ones fail.
  public func close() {
    let connection = state.withLock { state in
      state.isClosed = true
      defer { state.connection = nil }
      return state.connection
    }
    connection?.whenSuccess { $0.close() }
  }

  /// A unary call with encoded messages.
  public func unary(_ method: EtcdMethod, _ request: [UInt8], options: CallOptions? = nil) async throws
    -> [UInt8]
  {
    let message = [UInt8](repeating: 0, count: RPCCall.messageHeadroom) + request
    return try await connection().unary(
      methods[method.rawValue], message: message, options: options ?? callOptions
    )
    .get()
  }

  private func currentAttempt() -> (future: EventLoopFuture<ClientConnection>, endpoint: Endpoint)? {
    state.withLock { state in
      guard !state.isClosed else { return nil }
      let endpoint = endpoints[state.endpointIndex]
      if let connection = state.connection { return (connection, endpoint) }
      let connection = ClientConnection.connect(
        host: endpoint.host, port: endpoint.port, on: eventLoop, options: connectionOptions)
      state.connection = connection
      return (connection, endpoint)
    }
  }

  private func forget(_ connection: EventLoopFuture<ClientConnection>, moveOn: Bool) {
    state.withLock { state in
      guard state.connection === connection else { return }
      state.connection = nil
      if moveOn { state.endpointIndex = (state.endpointIndex + 1) % endpoints.count }
    }
  }
}
