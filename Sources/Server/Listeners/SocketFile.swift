internal import Glibc

/// The file of a Unix socket. A process that was killed leaves it behind, and then nobody could bind to the name again;
/// one that a living process listens on, or that is no socket, is left alone.
enum SocketFile {
  enum Fault: Error, Equatable {
    case inUse
    case notASocket
    case system(String)

    var description: String {
      switch self {
      case .inUse: "address already in use"
      case .notASocket: "the file exists and is no socket"
      case .system(let text): text
      }
    }
  }

  /// Removes the file if nobody listens on it.
  static func removeStale(_ path: String) throws(Fault) {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return }
      throw .system(String(cString: strerror(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket }
    if try isListening(path) { throw .inUse }
    guard unlink(path) == 0 || errno == ENOENT else { throw .system(String(cString: strerror(errno))) }
  }

  private static func isListening(_ path: String) throws(Fault) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw .system(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .system("the path is too long for a socket")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let outcome = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    return outcome == 0 || errno == EAGAIN
  }
}
