import Testing

/// Sizes and leftovers.
@Suite struct StyleTests {
  static let linesAimedAt = 500
  static let linesMax = 800
  static let functionLinesMax = 100
  static let functionLinesAimedAt = 70

  @Test func `files stay readable`() {
    let files = Repository.files().filter { file in
      [".swift", ".py", ".c", ".h", ".sh"].contains { file.path.hasSuffix($0) }
    }
    #expect(files.count > 50)
    for file in files {
      let count = file.lines.count
      if count > Self.linesMax {
        Issue.record("\(file) has \(count) lines; \(Self.linesMax) is the most")
      } else if count > Self.linesAimedAt {
        Issue.record("\(file) has \(count) lines; \(Self.linesAimedAt) is aimed at", severity: .warning)
      }
    }
  }

  @Test func `functions fit on a screen`() throws {
    for file in Repository.swiftFiles(below: "Sources") + Repository.swiftFiles(below: "Benchmarks") {
      for function in try Self.functions(file) where function.lines > Self.functionLinesAimedAt {
        let text = "\(file):\(function.start): \(function.lines) lines in one function"
        if function.lines > Self.functionLinesMax {
          Issue.record("\(text); \(Self.functionLinesMax) is the most")
        } else {
          Issue.record("\(text); \(Self.functionLinesAimedAt) is aimed at", severity: .warning)
        }
      }
    }
  }

  private static let modifiers: String =
    "public|private|internal|fileprivate|static|mutating|override|convenience|consuming|borrowing|final|nonisolated"

  /// Functions and initializers by the indentation of their first and last lines, which the formatter fixes.
  private static func functions(_ file: Repository.File) throws -> [(start: Int, lines: Int)] {
    let pattern: String = #"^ *(@\w+(\(.*\))? )*((MODIFIERS) )*(func \S|init[?(<]|deinit\b)"#
    let heads: Regex<AnyRegexOutput> = try Regex(pattern.replacing("MODIFIERS", with: modifiers))
    let lines = SwiftSource(file.text).lines
    var found: [(start: Int, lines: Int)] = []
    for (number, line) in lines.enumerated() where try heads.firstMatch(in: line) != nil {
      // A requirement of a protocol has no body; a body on the same line needs no look.
      let last = Self.end(of: number, in: lines)
      guard last < lines.count, lines[last].dropFirst(Self.depth(line)).hasPrefix("}") else { continue }
      found.append((start: number + 1, lines: last - number + 1))
    }
    return found
  }

  /// The first line behind `start` that is indented no deeper and does not just close a parameter list.
  private static func end(of start: Int, in lines: [String]) -> Int {
    let limit = depth(lines[start])
    var number = start + 1
    while number < lines.count {
      let line = lines[number]
      let inner = depth(line)
      if !line.isEmpty, inner <= limit, !line.dropFirst(inner).hasPrefix(")") { break }
      number += 1
    }
    return number
  }

  private static func depth(_ line: String) -> Int { line.prefix { $0 == " " }.utf8.count }

  @Test func `nothing is left over from merging or for later`() throws {
    // Spelled so that this file passes its own test.
    let marks = ["<", ">", "="].map { String(repeating: $0, count: 7) + " " }
    let later = try Regex(#"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b"#)
    for file in Repository.files() where !file.path.contains("EtcdAPI/Protos/") {
      for (number, line) in file.lines.enumerated() {
        if marks.contains(where: line.hasPrefix) { Issue.record("\(file):\(number + 1): a merge marker") }
        if try later.firstMatch(in: line) != nil { Issue.record("\(file):\(number + 1): \(line)") }
        if line.last == " " || line.last == "\t", !file.path.hasSuffix(".md") {
          Issue.record("\(file):\(number + 1): blanks at the end of the line")
        }
      }
    }
  }

  @Test func `tests assert`() throws {
    let assertion = try Regex(#"#expect|#require|Issue\.record|confirmation\("#)
    for folder in Repository.folders(in: "Tests") where folder.hasSuffix("Tests") {
      let files = Repository.swiftFiles(below: "Tests/\(folder)")
      let tests = files.filter { $0.text.contains("@Test") }
      #expect(!tests.isEmpty, "\(folder) has no tests")
      let helpers = files.filter { !$0.text.contains("@Test") }
      for file in tests where try assertion.firstMatch(in: file.text) == nil {
        // A file may check through helpers of its suite; some file of the suite has to assert then.
        let checksElsewhere = try helpers.contains { try assertion.firstMatch(in: $0.text) != nil }
        #expect(checksElsewhere, "\(file) asserts nothing")
      }
    }
  }
}
