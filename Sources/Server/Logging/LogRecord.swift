/// The severities of etcd's log.
public enum LogLevel: UInt8, Comparable, Sendable, CaseIterable {
  case debug, info, warn, error, panic, fatal

  /// zap's names, in lower or upper case; the empty text means info.
  public init?(parsing text: String) {
    switch text {
    case "debug", "DEBUG": self = .debug
    case "info", "INFO", "": self = .info
    case "warn", "WARN": self = .warn
    case "error", "ERROR": self = .error
    case "dpanic", "DPANIC", "panic", "PANIC": self = .panic
    case "fatal", "FATAL": self = .fatal
    default: return nil
    }
  }

  public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }

  var label: StaticString {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warn: "warn"
    case .error: "error"
    case .panic: "panic"
    case .fatal: "fatal"
    }
  }
}

public enum LogFormat: String, Sendable { case json, console }

/// A value in a log line.
public enum LogValue: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral
{
  case text(String)
  case integer(Int64)
  case unsigned(UInt64)
  case boolean(Bool)
  case duration(GoDuration)
  case list([String])
  /// An id as etcd prints ids: lower-case hexadecimal without padding.
  case id(UInt64)

  public init(stringLiteral value: String) { self = .text(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
}

/// Named values in the order they were given.
public struct LogFields: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  public private(set) var pairs: [(name: String, value: LogValue)]

  public init(dictionaryLiteral elements: (String, LogValue)...) {
    pairs = elements.map { (name: $0.0, value: $0.1) }
  }

  public mutating func append(_ name: String, _ value: LogValue) { pairs.append((name, value)) }

  public static func == (left: LogFields, right: LogFields) -> Bool {
    left.pairs.elementsEqual(right.pairs) { $0 == $1 }
  }
}

/// A line made before there is a logger, such as the warnings of configuration.
public struct LogRecord: Sendable, Equatable {
  public var level: LogLevel
  public var message: String
  public var fields: LogFields
  /// `file:line` as in the log.
  public var caller: String

  public init(
    _ level: LogLevel, _ message: String, _ fields: LogFields, file: StaticString = #fileID,
    line: UInt = #line
  ) {
    self.level = level
    self.message = message
    self.fields = fields
    caller = LogLineEncoder.caller(file, line)
  }

  /// Where a record was made is not part of what it says.
  public static func == (left: LogRecord, right: LogRecord) -> Bool {
    left.level == right.level && left.message == right.message && left.fields == right.fields
  }
}
