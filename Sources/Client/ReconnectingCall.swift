internal import EtcdAPI
internal import Model
internal import NIOCore
internal import Wire

/// Hears of a call that is made anew when it breaks; on the client's event loop.
protocol ReconnectingCallOwner: AnyObject {
  /// A new call: nothing of what was sent on the one before counts any more.
  func opened(_ call: ReconnectingCall)
  func received(_ message: UnsafeRawBufferPointer)
  /// The server will not have it; there will be no other call.
  func refused(_ error: ClientError)
}

/// A bidirectional call that is made anew, on another connection or to another endpoint, when it breaks. Confined to
/// the client's event loop (`@unchecked Sendable` only so that a reference may travel).
final class ReconnectingCall: ClientCallObserver, @unchecked Sendable {
  static let pauseMin = TimeAmount.milliseconds(50)
  static let pauseMax = TimeAmount.seconds(2)

  private let client: EtcdClient
  private let method: EtcdMethod
  private weak var owner: (any ReconnectingCallOwner)?
  private var call: ClientCall?
  private var isConnecting = false
  private var isClosed = false
  private var pause = ReconnectingCall.pauseMin

  init(_ client: EtcdClient, _ method: EtcdMethod, owner: any ReconnectingCallOwner) {
    self.client = client
    self.method = method
    self.owner = owner
  }

  var isOpen: Bool { call != nil }

  /// Sends a message, with its headroom, if there is a call; otherwise `opened` is the time to send it.
  func send(_ message: [UInt8]) {
    call?.send(message)
  }

  /// Makes the call unless it is there or on its way.
  func open() {
    guard call == nil, !isConnecting, !isClosed else { return }
    isConnecting = true
    client.usableConnection().assumeIsolated().whenComplete { [self] result in
      isConnecting = false
      guard !isClosed else { return }
      // Streams outlive any time limit meant for single calls.
      let options = CallOptions(metadata: client.callOptions.metadata)
      guard case .success(let connection) = result,
        let call = connection.startStream(client.method(method), options: options, observer: self)
      else { return openLater() }
      self.call = call
      owner?.opened(self)
    }
  }

  func close() {
    isClosed = true
    call?.cancel()
    call = nil
  }

  private func openLater() {
    let delay = pause
    pause = min(pause * 2, Self.pauseMax)
    client.eventLoop.assumeIsolated().scheduleTask(in: delay) { [self] in open() }
  }

  func received(_ call: ClientCall, message: UnsafeRawBufferPointer) {
    guard call === self.call else { return }
    pause = Self.pauseMin
    owner?.received(message)
  }

  func ended(_ call: ClientCall, with status: ClientError) {
    guard call === self.call else { return }
    self.call = nil
    if Self.mayPass(status) {
      openLater()
    } else {
      isClosed = true
      owner?.refused(status)
    }
  }

  /// As etcd's own client: what the server's absence or overload explains is tried again.
  private static func mayPass(_ status: ClientError) -> Bool {
    switch status.code {
    case .ok, .unavailable, .internal, .resourceExhausted: true
    case .cancelled, .unknown, .invalidArgument, .deadlineExceeded, .notFound, .alreadyExists,
      .permissionDenied, .failedPrecondition, .aborted, .outOfRange, .unimplemented, .dataLoss,
      .unauthenticated:
      false
    }
  }
}
