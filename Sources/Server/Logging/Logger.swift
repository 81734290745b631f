import Synchronization

/// The member's log.
///
/// Safe on all threads. A disabled level costs one comparison: messages and fields are not evaluated. Each line is
/// one write, and lines of different threads never mix. Keys, values, passwords and tokens are never logged.
public final class Logger: Sendable {
  public let level: LogLevel
  private let format: LogFormat
  private let outputs: [LogOutput]
  private let clock: @Sendable () -> LogTimestamp
  private let encoder = Mutex(LogLineEncoder())

  public init(
    level: LogLevel, format: LogFormat, outputs: [LogOutput],
    clock: @escaping @Sendable () -> LogTimestamp = { LogTimestamp.now() }
  ) {
    self.level = level
    self.format = format
    self.outputs = outputs
    self.clock = clock
  }

  /// The logger that a configuration asks for.
  /// - Parameter journalStream: systemd's `JOURNAL_STREAM`.
  public convenience init(
    _ configuration: ServerConfiguration, journalStream: String?
  ) throws(ConfigurationError) {
    self.init(
      level: configuration.logLevel, format: configuration.logFormat,
      outputs: try LogOutput.outputs(
        named: configuration.logOutputs, rotation: configuration.logRotation, journalStream: journalStream))
  }

  public func debug(
    _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:],
    file: StaticString = #fileID, line: UInt = #line
  ) {
    if level <= .debug { write(.debug, message(), fields(), LogLineEncoder.caller(file, line)) }
  }

  public func info(
    _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:],
    file: StaticString = #fileID, line: UInt = #line
  ) {
    if level <= .info { write(.info, message(), fields(), LogLineEncoder.caller(file, line)) }
  }

  public func warn(
    _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:],
    file: StaticString = #fileID, line: UInt = #line
  ) {
    if level <= .warn { write(.warn, message(), fields(), LogLineEncoder.caller(file, line)) }
  }

  public func error(
    _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:],
    file: StaticString = #fileID, line: UInt = #line
  ) {
    if level <= .error { write(.error, message(), fields(), LogLineEncoder.caller(file, line)) }
  }

  /// Logs the last line before the caller ends the process.
  public func fatal(
    _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:],
    file: StaticString = #fileID, line: UInt = #line
  ) {
    write(.fatal, message(), fields(), LogLineEncoder.caller(file, line))
  }

  /// Writes a record that was made before there was a logger.
  public func log(_ record: LogRecord) {
    if level <= record.level { write(record.level, record.message, record.fields, record.caller) }
  }

  private func write(_ level: LogLevel, _ message: String, _ fields: LogFields, _ caller: String) {
    encoder.withLock { encoder in
      encoder.encode(format, level, clock(), caller: caller, message: message, fields: fields)
      let line = LogLine(bytes: encoder.bytes, level: level, caller: caller)
      for output in outputs { output.write(line) }
    }
  }
}
