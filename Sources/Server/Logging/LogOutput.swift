import Glibc
import Model

/// One line of the log, as it is and with what a journal wants to know of it.
public struct LogLine: Sendable {
  /// With its line break.
  public var bytes: [UInt8]
  public var level: LogLevel
  /// `module/file.swift:line`
  public var caller: String
}

/// Where lines go.
public struct LogOutput: Sendable {
  /// Called with whole lines, one at a time.
  let write: @Sendable (LogLine) -> Void

  public init(line write: @escaping @Sendable (LogLine) -> Void) { self.write = write }

  public init(write: @escaping @Sendable ([UInt8]) -> Void) { self.init(line: { write($0.bytes) }) }

  /// A descriptor that stays open for the life of the process.
  public init(descriptor: Int32) {
    self.init { Self.write($0, to: descriptor) }
  }

  /// Writes all bytes. A line that cannot be written is dropped: there is nowhere left to say so, and serving goes on.
  static func write(_ line: [UInt8], to descriptor: Int32) {
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

  public static let standardError = LogOutput(descriptor: STDERR_FILENO)
  public static let standardOutput = LogOutput(descriptor: STDOUT_FILENO)

  /// The outputs of `--log-outputs`; files are opened for appending, 0600, and rotated when `rotation` is given.
  ///
  /// - Parameter journalStream: systemd's `JOURNAL_STREAM`, which tells whether standard error is the journal.
  public static func outputs(
    named names: [String], rotation: LogRotation? = nil, journalStream: String? = nil
  ) throws(ConfigurationError) -> [LogOutput] {
    var outputs: [LogOutput] = []
    for name in names {
      switch name {
      case "default": outputs.append(defaultOutput(journalStream))
      case "stderr": outputs.append(.standardError)
      case "stdout": outputs.append(.standardOutput)
      case "systemd/journal": outputs.append(JournalSocket.output(try JournalSocket()))
      default:
        if let rotation {
          let file = try RotatingFile(path: name, rotation: rotation)
          outputs.append(LogOutput { file.write($0) })
        } else {
          outputs.append(LogOutput(descriptor: try openForAppending(name)))
        }
      }
    }
    return outputs
  }

  /// The journal where systemd has connected standard error to it, because priorities arrive there; else standard
  /// error.
  private static func defaultOutput(_ journalStream: String?) -> LogOutput {
    guard let journalStream, JournalSocket.isStandardError(journalStream), let journal = try? JournalSocket()
    else { return .standardError }
    return JournalSocket.output(journal)
  }

  static func openForAppending(_ path: String) throws(ConfigurationError) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw .invalid(
        "couldn't open sink \(GoValueSyntax.quoted(path)): open \(path): \(SystemError.text(errno))")
    }
    return descriptor
  }
}
