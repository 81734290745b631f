/// The commands of scenario files: `name(argument, ...)`, where an argument is a word, a quoted text, a flag
/// `+name`, an option `name=word` or again a call. Quoted texts know `\xNN`, `\"` and `\\`; `*N` behind a text
/// repeats it.
indirect enum ScenarioTerm {
  case text([UInt8])
  case flag(String)
  case option(String, [UInt8])
  case call(ScenarioCall)
}

struct ScenarioCall {
  var name: String
  var arguments: [ScenarioTerm] = []

  var texts: [[UInt8]] {
    arguments.compactMap { if case .text(let text) = $0 { text } else { nil } }
  }
  var calls: [ScenarioCall] {
    arguments.compactMap { if case .call(let call) = $0 { call } else { nil } }
  }

  func has(_ flag: String) -> Bool {
    arguments.contains { if case .flag(flag) = $0 { true } else { false } }
  }

  func option(_ name: String) -> [UInt8]? {
    for case .option(name, let value) in arguments { return value }
    return nil
  }

  func number(_ name: String) -> Int64? {
    option(name).flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
  }

  func text(_ index: Int) -> [UInt8] { index < texts.count ? texts[index] : [] }
  func number(_ index: Int) -> Int64 { Int64(String(decoding: text(index), as: UTF8.self)) ?? 0 }
}

struct ScenarioSyntaxError: Error {
  var line: String
  var position: Int
}

struct ScenarioParser {
  private let line: String
  private let bytes: [UInt8]
  private var position = 0

  static func parse(_ line: String) throws -> ScenarioCall {
    var parser = ScenarioParser(line)
    guard case .call(let call) = try parser.term() else { throw parser.error }
    guard parser.peek() == nil else { throw parser.error }
    return call
  }

  private init(_ line: String) {
    self.line = line
    bytes = Array(line.utf8)
  }

  private var error: ScenarioSyntaxError { ScenarioSyntaxError(line: line, position: position) }

  /// The next byte that is not a space.
  private mutating func peek() -> UInt8? {
    while position < bytes.count, bytes[position] == UInt8(ascii: " ") { position += 1 }
    return position < bytes.count ? bytes[position] : nil
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    if peek() != byte { return false }
    position += 1
    return true
  }

  private mutating func term() throws -> ScenarioTerm {
    if take(UInt8(ascii: "+")) { return .flag(String(decoding: word(), as: UTF8.self)) }
    if peek() == UInt8(ascii: "\"") { return .text(try quoted()) }
    let name = word()
    if take(UInt8(ascii: "(")) {
      var call = ScenarioCall(name: String(decoding: name, as: UTF8.self))
      while !take(UInt8(ascii: ")")) {
        call.arguments.append(try term())
        if peek() != UInt8(ascii: ")"), !take(UInt8(ascii: ",")) { throw error }
      }
      return .call(call)
    }
    if name.isEmpty { throw error }
    if take(UInt8(ascii: "=")) {
      let value = peek() == UInt8(ascii: "\"") ? try quoted() : word()
      return .option(String(decoding: name, as: UTF8.self), value)
    }
    return .text(name)
  }

  private mutating func word() -> [UInt8] {
    _ = peek()
    let start = position
    while position < bytes.count, !Array(" ,()=\"+".utf8).contains(bytes[position]) { position += 1 }
    return Array(bytes[start..<position])
  }

  private mutating func quoted() throws -> [UInt8] {
    guard take(UInt8(ascii: "\"")) else { throw error }
    var text: [UInt8] = []
    while true {
      guard position < bytes.count else { throw error }
      let byte = bytes[position]
      position += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte != UInt8(ascii: "\\") {
        text.append(byte)
        continue
      }
      guard position < bytes.count else { throw error }
      let escape = bytes[position]
      position += 1
      if escape == UInt8(ascii: "x") {
        let digits = String(decoding: bytes[position...].prefix(2), as: UTF8.self)
        guard let value = UInt8(digits, radix: 16) else { throw error }
        text.append(value)
        position += 2
      } else {
        text.append(escape)
      }
    }
    if take(UInt8(ascii: "*")) {
      guard let times = Int(String(decoding: word(), as: UTF8.self)) else { throw error }
      text = Array(repeatElement(text, count: times).joined())
    }
    return text
  }
}

/// Bytes as scenario files show them; long runs are shortened.
func scenarioText(_ bytes: [UInt8]) -> String {
  if bytes.count > 60, Set(bytes).count == 1, let first = bytes.first {
    return "\(scenarioText([first]))*\(bytes.count)"
  }
  return bytes.map { byte in
    (0x21...0x7e).contains(byte) && byte != UInt8(ascii: "\\")
      ? String(UnicodeScalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }.joined()
}
