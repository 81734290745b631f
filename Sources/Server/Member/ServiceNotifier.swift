internal import Glibc

/// Tells systemd, or whoever else gave the process a `NOTIFY_SOCKET`, how far the member is.
struct ServiceNotifier {
  /// Nil: nobody wants to know.
  let socketPath: String?
  let logger: Logger

  /// The member serves clients.
  func ready() {
    guard socketPath != nil else { return }
    logger.info("notifying init daemon")
    if let error = send("READY=1\nSTATUS=serving clients") {
      logger.error("failed to notify systemd for readiness", ["error": .text(SystemError.text(error))])
    } else {
      logger.info("successfully notified init daemon")
    }
  }

  /// The member has begun to stop.
  func stopping() {
    _ = send("STOPPING=1\nSTATUS=stopping")
  }

  /// - Returns: the system's error; nil when the message was taken or nobody wants any.
  private func send(_ message: String) -> Int32? {
    guard let socketPath, !socketPath.isEmpty else { return nil }
    let connection = UnixSocket.datagram(path: socketPath)
    guard connection.descriptor >= 0 else { return connection.error }
    defer { close(connection.descriptor) }
    let bytes = Array(message.utf8)
    let count = Glibc.send(connection.descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    return count == bytes.count ? nil : errno
  }
}
