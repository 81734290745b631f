import Glibc

/// Where lines go.
public struct LogOutput: Sendable {
  /// Called with whole lines, one at a time.
  let write: @Sendable ([UInt8]) -> Void

  public init(write: @escaping @Sendable ([UInt8]) -> Void) { self.write = write }

  /// A descriptor that stays open for the life of the process.
  ///
  /// A line that cannot be written is dropped: there is nowhere left to say so, and serving goes on.
  public init(descriptor: Int32) {
    self.init { line in
      line.withUnsafeBytes { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
          let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
          if count > 0 {
            rest = rest.dropFirst(count)
          } else if errno == EAGAIN {
            // Somebody made the terminal or pipe non-blocking; wait for room, but never for ever.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if poll(&waiting, 1, 1_000) <= 0 { return }
          } else if errno != EINTR {
            return
          }
        }
      }
    }
  }

  public static let standardError = LogOutput(descriptor: STDERR_FILENO)
  public static let standardOutput = LogOutput(descriptor: STDOUT_FILENO)

  /// The outputs of `--log-outputs`; files are opened for appending, 0600.
  public static func outputs(named names: [String]) throws(ConfigurationError) -> [LogOutput] {
    var outputs: [LogOutput] = []
    for name in names {
      switch name {
      case "default", "stderr": outputs.append(.standardError)
      case "stdout": outputs.append(.standardOutput)
      default:
        let descriptor = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
          throw .invalid("open \(name): \(String(cString: strerror(errno)))")
        }
        outputs.append(LogOutput(descriptor: descriptor))
      }
    }
    return outputs
  }
}
