import Foundation
import Testing

/// One directive of a scenario file: `name argument key=value key=(a,b)`, a line `----`, the expected output up to
/// a blank line. The format of etcd-io/raft's data-driven tests.
struct ScenarioCommand {
  var name: String
  var arguments: [String] = []
  private var values: [String: [String]] = [:]

  /// Nil for a line without words.
  init?(_ line: String) {
    var words: [String] = []
    var word = ""
    var depth = 0
    for character in line {
      if character == "(" { depth += 1 }
      if character == ")" { depth -= 1 }
      if character == " " && depth == 0 {
        if !word.isEmpty { words.append(word) }
        word = ""
      } else if character != " " {
        word.append(character)
      }
    }
    if !word.isEmpty { words.append(word) }
    guard let first = words.first else { return nil }
    name = first
    for word in words.dropFirst() {
      guard let equals = word.firstIndex(of: "=") else {
        arguments.append(word)
        continue
      }
      let value = word[word.index(after: equals)...].trimmingCharacters(in: CharacterSet(charactersIn: "()"))
      values[String(word[..<equals])] = value.isEmpty ? [] : value.components(separatedBy: ",")
    }
  }

  func list(_ key: String) -> [String] { values[key] ?? [] }

  func number(_ key: String) -> UInt64? { values[key]?.first.flatMap { UInt64($0) } }

  var id: UInt64 { arguments.first.flatMap { UInt64($0) } ?? 0 }
}

/// Runs every file of `Scenarios/<folder>`, each directive through `run`, and compares the output byte for byte.
/// With CAIRN_REWRITE set the files are rewritten instead; commit such a change only if you can explain it.
func runScenarios(
  inFolder folder: String, _ run: (ScenarioCommand) throws -> String
) throws {
  for file in try scenarioFiles(inFolder: folder) { try runScenario(file, run) }
}

func scenarioFiles(inFolder folder: String) throws -> [URL] {
  let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Scenarios/\(folder)")
  let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
  return files.filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }
}

func runScenario(_ file: URL, _ run: (ScenarioCommand) throws -> String) throws {
  let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
  var rewritten: [String] = []
  var position = 0
  var directives = 0
  while position < lines.count {
    let line = lines[position]
    position += 1
    rewritten.append(line)
    guard !line.hasPrefix("#"), let command = ScenarioCommand(line) else { continue }
    guard position < lines.count, lines[position] == "----" else {
      throw Violation(description: "\(file.lastPathComponent):\(position): no ---- after the command")
    }
    var expected: [String] = []
    position += 1
    while position < lines.count, !lines[position].isEmpty {
      expected.append(lines[position])
      position += 1
    }
    let output = try run(command)
    directives += 1
    rewritten.append("----")
    rewritten.append(output)
    if ProcessInfo.processInfo.environment["CAIRN_REWRITE"] == nil {
      #expect(output == expected.joined(separator: "\n"), "\(file.lastPathComponent): \(line)")
    }
  }
  #expect(directives > 0, "\(file.lastPathComponent) says nothing")
  if ProcessInfo.processInfo.environment["CAIRN_REWRITE"] != nil {
    try rewritten.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
  }
}
