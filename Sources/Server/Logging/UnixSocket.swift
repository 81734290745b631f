internal import Glibc

/// Datagrams to another process of this machine.
enum UnixSocket {
  /// Connects to a socket in the file system, or with a leading `@` in the abstract name space.
  /// - Returns: a descriptor, or -1 and the reason.
  static func datagram(path: String) -> (descriptor: Int32, error: Int32) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    let isAbstract = bytes.first == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 }
    // A path ends with a zero byte; an abstract name is as long as the address says.
    guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      return (-1, ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1)
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return (-1, errno) }
    let outcome = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(length))
      }
    }
    guard outcome == 0 else {
      let error = errno
      close(descriptor)
      return (-1, error)
    }
    return (descriptor, 0)
  }
}
