/// The names of log files that were set aside, as lumberjack gives them, so that scripts find them.
///
///     server.log  ->  server-2026-01-02T03-04-05.678.log  ->  server-2026-01-02T03-04-05.678.log.gz
struct RotatedName {
  /// Of the log file: everything before the extension, with the dash; and the extension with its dot.
  let prefix: String
  let suffix: String

  static let compressedSuffix = ".gz"

  /// - Parameter name: of the log file, without its directory.
  init(of name: String) {
    let dot = name.lastIndex(of: ".") ?? name.endIndex
    prefix = name[..<dot] + "-"
    suffix = String(name[dot...])
  }

  func name(at time: LogTimestamp) -> String { prefix + Self.mark(time) + suffix }

  /// A moment in the form that names carry; their order is that of time.
  static func mark(_ time: LogTimestamp) -> String {
    String(time.text.dropLast()).replacing(":", with: "-")
  }

  /// The moment in a name of a file that was set aside; nil for all other files.
  func mark(in name: String) -> String? {
    var rest = name[...]
    if rest.hasSuffix(suffix + Self.compressedSuffix) {
      rest = rest.dropLast(Self.compressedSuffix.count)
    }
    guard rest.hasPrefix(prefix), rest.hasSuffix(suffix) else { return nil }
    let mark = rest.dropFirst(prefix.count).dropLast(suffix.count)
    let form = "0000-00-00T00-00-00.000"
    guard mark.utf8.count == form.utf8.count else { return nil }
    let fits = zip(mark.utf8, form.utf8).allSatisfy { byte, expected in
      expected == UInt8(ascii: "0")
        ? byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") : byte == expected
    }
    return fits ? String(mark) : nil
  }
}
