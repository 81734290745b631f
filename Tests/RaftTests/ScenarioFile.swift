import Foundation
import Testing

/// One command line: a name, positional arguments, and `key=value` or `key=(a,b)`.
struct ScenarioCommand {
  struct Argument {
    var key: String
    /// Empty for a positional one.
    var values: [String]
  }

  var line: String
  var name: String
  var arguments: [Argument] = []
  /// The lines between the command and `----`.
  var input: [String] = []

  /// Nil for a line without words.
  init?(_ line: String) {
    self.line = line
    var words = Self.words(line)
    if words.isEmpty { return nil }
    name = words.removeFirst()
    for word in words {
      guard let equals = word.firstIndex(of: "=") else {
        arguments.append(Argument(key: word, values: []))
        continue
      }
      let value = word[word.index(after: equals)...].trimmingCharacters(in: CharacterSet(charactersIn: "()"))
      let values = value.isEmpty ? [] : value.components(separatedBy: ",")
      arguments.append(Argument(key: String(word[..<equals]), values: values))
    }
  }

  /// Splits at spaces outside parentheses; those inside are dropped.
  private static func words(_ line: String) -> [String] {
    var words: [String] = []
    var word = ""
    var depth = 0
    for character in line {
      if character == "(" { depth += 1 }
      if character == ")" { depth -= 1 }
      if character != " " {
        word.append(character)
      } else if depth == 0 && !word.isEmpty {
        words.append(word)
        word = ""
      }
    }
    if !word.isEmpty { words.append(word) }
    return words
  }

  var positional: [String] { arguments.filter(\.values.isEmpty).map(\.key) }

  func list(_ key: String) -> [String] { arguments.filter { $0.key == key }.flatMap(\.values) }

  func has(_ key: String) -> Bool { arguments.contains { $0.key == key && !$0.values.isEmpty } }

  func value(_ key: String) -> String? { list(key).first }

  func number(_ key: String) -> UInt64? { value(key).flatMap { UInt64($0) } }

  /// The first positional argument.
  var id: UInt64 { positional.first.flatMap { UInt64($0) } ?? 0 }
}

/// A command and the output it must have.
struct ScenarioDirective {
  var lineNumber: Int
  var command: ScenarioCommand
  /// Ends with a line feed, unless there is none.
  var expected: String
  /// The lines before the command: comments and blank ones.
  var preamble: [String]
}

/// A file in the format of etcd-io/raft's data-driven tests: comments, command, input, a line `----`, the expected
/// output up to a blank line; between two doubled `----` it may contain blank lines.
struct ScenarioFile {
  var url: URL
  var directives: [ScenarioDirective] = []

  init(_ url: URL) throws {
    self.url = url
    var lines = try String(contentsOf: url, encoding: .utf8).components(separatedBy: "\n")[...]
    var number = 0
    func next() -> String? {
      number += 1
      return lines.popFirst()
    }
    var preamble: [String] = []
    while let line = next() {
      guard !line.hasPrefix("#"), var command = ScenarioCommand(line) else {
        preamble.append(line)
        continue
      }
      let start = number
      var isSeparated = false
      while let line = next() {
        isSeparated = line == "----"
        if isSeparated { break }
        command.input.append(line)
      }
      guard isSeparated else {
        throw Violation(description: "\(url.lastPathComponent):\(start): no ---- after the command")
      }
      var expected = ""
      let isDoubled = lines.first == "----"
      if isDoubled { _ = next() }
      while let line = next() {
        if isDoubled ? line == "----" && lines.first == "----" : line.isEmpty { break }
        expected += line + "\n"
      }
      if isDoubled {
        _ = next()
        if lines.first == "" { _ = next() }
      }
      directives.append(
        ScenarioDirective(lineNumber: start, command: command, expected: expected, preamble: preamble))
      preamble = []
    }
  }

  /// The file with the given outputs in place of the expected ones.
  func rewritten(_ outputs: [String]) -> String {
    var text = ""
    for (directive, output) in zip(directives, outputs) {
      for line in directive.preamble + [directive.command.line] + directive.command.input + ["----"] {
        text += line + "\n"
      }
      text += output + "\n"
    }
    // The blank line after the last output goes.
    return String(text.dropLast())
  }
}

/// The scenario files below a directory, in order of their paths.
func scenarioFiles(below directory: URL) throws -> [ScenarioFile] {
  guard let walker = FileManager.default.enumerator(at: directory, includingPropertiesForKeys: nil) else {
    throw Violation(description: "cannot read \(directory.path)")
  }
  var urls: [URL] = []
  for case let url as URL in walker where url.pathExtension == "txt" { urls.append(url) }
  return try urls.sorted { $0.path < $1.path }.map { try ScenarioFile($0) }
}

/// This repository's own scenarios.
func ownScenarios(_ folder: String) throws -> [ScenarioFile] {
  let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Scenarios/\(folder)")
  let files = try scenarioFiles(below: directory)
  if files.isEmpty { throw Violation(description: "no scenarios in \(folder)") }
  return files
}

/// Runs each directive of a file through `run` and compares the output byte for byte; returns how many there were.
/// With CAIRN_REWRITE set the file is rewritten instead; commit such a change only if you can explain it.
func runScenario(_ file: ScenarioFile, _ run: (ScenarioCommand) throws -> String) throws -> Int {
  var outputs: [String] = []
  let isRewriting = ProcessInfo.processInfo.environment["CAIRN_REWRITE"] != nil
  for directive in file.directives {
    var output = try run(directive.command)
    if !output.isEmpty && !output.hasSuffix("\n") { output += "\n" }
    outputs.append(output)
    let place = "\(file.url.lastPathComponent):\(directive.lineNumber): \(directive.command.line)"
    if !isRewriting && output != directive.expected {
      Issue.record("\(place)\n\(difference(output, directive.expected))")
      // What follows would differ because of this.
      return outputs.count
    }
  }
  if file.directives.isEmpty { Issue.record("\(file.url.lastPathComponent) says nothing") }
  if isRewriting {
    try file.rewritten(outputs).write(to: file.url, atomically: true, encoding: .utf8)
  }
  return outputs.count
}

private func difference(_ output: String, _ expected: String) -> String {
  let got = output.components(separatedBy: "\n")
  let wanted = expected.components(separatedBy: "\n")
  let first = zip(got, wanted).enumerated().first { $0.element.0 != $0.element.1 }?.offset
  let position = first ?? min(got.count, wanted.count)
  func excerpt(_ lines: [String]) -> String {
    lines[max(0, min(position, lines.count) - 3)..<min(lines.count, position + 4)].joined(separator: "\n  ")
  }
  return "line \(position + 1) of the output\ngot:\n  \(excerpt(got))\nexpected:\n  \(excerpt(wanted))"
}
