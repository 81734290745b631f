internal import CNGHTTP2
internal import Model
public import NIOCore

// Calls as futures, for callers that do not count microseconds. From any thread.
extension ClientConnection {
  /// Makes a unary call.
  /// - Parameter message: five bytes of headroom, then the encoded message.
  /// - Returns: the response message, or a failure with `ClientError`.
  public func unary(
    _ method: ClientMethod, message: [UInt8], options callOptions: CallOptions = CallOptions()
  ) -> EventLoopFuture<[UInt8]> {
    let promise = eventLoop.makePromise(of: [UInt8].self)
    eventLoop.execute { [self] in
      let observer = UnaryObserver(promise)
      if start(method, message: message, options: callOptions, observer: observer) == nil {
        promise.fail(ClientError(.unavailable, "connection closed"))
      }
    }
    return promise.futureResult
  }

  /// Makes a server-streaming call; `onMessage` runs on the event loop, and the next bytes are asked for only after
  /// it has returned.
  /// - Returns: success at the end of the stream, or a failure with `ClientError`.
  public func serverStream(
    _ method: ClientMethod, message: [UInt8], options callOptions: CallOptions = CallOptions(),
    onMessage: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
  ) -> EventLoopFuture<Void> {
    let promise = eventLoop.makePromise(of: Void.self)
    eventLoop.execute { [self] in
      let observer = StreamObserver(promise, onMessage)
      if start(method, message: message, options: callOptions, observer: observer) == nil {
        promise.fail(ClientError(.unavailable, "connection closed"))
      }
    }
    return promise.futureResult
  }
}

private final class UnaryObserver: ClientCallObserver {
  private let promise: EventLoopPromise<[UInt8]>
  private var response: [UInt8]?

  init(_ promise: EventLoopPromise<[UInt8]>) {
    self.promise = promise
  }

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    response = Array(message)
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    if status.code != .ok {
      promise.fail(status)
    } else if let response {
      promise.succeed(response)
    } else {
      promise.fail(ClientError(.internal, "server ended a unary call without a message"))
    }
  }
}

private final class StreamObserver: ClientCallObserver {
  private let promise: EventLoopPromise<Void>
  private let onMessage: @Sendable (UnsafeRawBufferPointer) -> Void

  init(_ promise: EventLoopPromise<Void>, _ onMessage: @escaping @Sendable (UnsafeRawBufferPointer) -> Void) {
    self.promise = promise
    self.onMessage = onMessage
  }

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    onMessage(message)
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    if status.code == .ok { promise.succeed(()) } else { promise.fail(status) }
  }
}
