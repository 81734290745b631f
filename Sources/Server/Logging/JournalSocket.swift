internal import Glibc

/// The systemd journal, by its native protocol: one datagram a line.
///
/// The message is the whole line, as etcd sends it; the priority follows the level, so that `journalctl -p warning`
/// works.
struct JournalSocket {
  private let descriptor: Int32

  static let defaultPath = "/run/systemd/journal/socket"

  init(path: String = defaultPath) throws(ConfigurationError) {
    let connection = UnixSocket.datagram(path: path)
    guard connection.descriptor >= 0 else {
      throw .invalid(
        "can't find journal (dial unixgram \(path): connect: \(SystemError.text(connection.error)))")
    }
    descriptor = connection.descriptor
  }

  /// What the journal does not take goes to standard error, as with etcd: a line that is longer than a datagram, or
  /// every line while the journal is away.
  static func output(_ socket: JournalSocket) -> LogOutput {
    LogOutput(line: { line in
      if !socket.send(Self.datagram(line)) { LogOutput.write(line.bytes, to: STDERR_FILENO) }
    })
  }

  private func send(_ bytes: [UInt8]) -> Bool {
    while true {
      if Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) >= 0 { return true }
      if errno != EINTR { return false }
    }
  }

  /// `NAME=value` lines; a value with line breaks has its length before it instead.
  static func datagram(_ line: LogLine) -> [UInt8] {
    var bytes: [UInt8] = []
    let message = line.bytes.last == UInt8(ascii: "\n") ? line.bytes.dropLast() : line.bytes[...]
    let package = line.caller.prefix { $0 != "/" }
    for (name, value) in [
      ("PRIORITY", Array("\(priority(line.level))".utf8)[...]), ("PACKAGE", Array(package.utf8)[...]),
      ("SYSLOG_IDENTIFIER", Array("cairn".utf8)[...]), ("MESSAGE", message),
    ] {
      bytes += name.utf8
      if value.contains(UInt8(ascii: "\n")) {
        bytes.append(UInt8(ascii: "\n"))
        withUnsafeBytes(of: UInt64(value.count).littleEndian) { bytes += $0 }
      } else {
        bytes.append(UInt8(ascii: "="))
      }
      bytes += value
      bytes.append(UInt8(ascii: "\n"))
    }
    return bytes
  }

  /// syslog's numbers.
  private static func priority(_ level: LogLevel) -> Int {
    switch level {
    case .debug: 7
    case .info: 6
    case .warn: 4
    case .error: 3
    case .panic, .fatal: 2
    }
  }

  /// True when `JOURNAL_STREAM`, a device and an inode number, names what standard error is connected to.
  static func isStandardError(_ journalStream: String) -> Bool {
    var status = stat()
    guard fstat(STDERR_FILENO, &status) == 0 else { return false }
    return journalStream == "\(status.st_dev):\(status.st_ino)"
  }
}
