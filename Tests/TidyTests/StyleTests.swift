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

  /// Functions and initializers by the indentation of their first and last lines, which the formatter fixes.
  private static func functions(_ file: Repository.File) throws -> [(start: Int, lines: Int)] {
    let heads = try Regex(
      #"^ *(@\w+(\(.*\))? )*((public|private|internal|fileprivate|static|mutating|override|convenience|consuming|borrowing|final|nonisolated) )*(func \S|init[?(<]|deinit\b)"#
    )
    let lines = SwiftSource(file.text).lines
    var found: [(start: Int, lines: Int)] = []
    for (number, line) in lines.enumerated() where try heads.firstMatch(in: line) != nil {
      let indentation = line.prefix { $0 == " " }
      // A requirement of a protocol has no body; a body on the same line needs no look.
      guard
        let end = lines[(number + 1)...].firstIndex(where: { candidate in
          let inner = candidate.prefix { $0 == " " }
          return !candidate.isEmpty && inner.count <= indentation.count
            && !candidate.dropFirst(inner.count).hasPrefix(")")
        }), lines[end].dropFirst(indentation.count).hasPrefix("}")
      else { continue }
      found.append((number + 1, end - number + 1))
    }
    return found
  }

  @Test func `nothing is left over from merging or for later`() throws {
    // Put together from parts, so that this file passes its own test.
    let marks = ["<" + "<<<<<< ", ">" + ">>>>>> ", "=" + "====== "]
    let later = try Regex(
      "\\b(" + ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].joined(separator: "|") + ")\\b")
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
