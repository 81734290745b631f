/// Swift source with comments and the contents of string literals blanked out, line by line.
///
/// Not a parser: code inside interpolations is blanked too. That is enough to look for calls by name.
struct SwiftSource {
  let lines: [String]

  init(_ text: String) {
    var blanker = Blanker(rest: Array(text.unicodeScalars)[...])
    blanker.run()
    lines = String(blanker.code).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// The modules that the source imports.
  var imports: [String] {
    lines.compactMap { line in
      let words = line.split(separator: " ")
      guard let position = words.firstIndex(of: "import"), position + 1 < words.count,
        words[..<position].allSatisfy({ Self.importPrefixes.contains(String($0)) || $0.hasPrefix("@") })
      else { return nil }
      return String(words[position + 1].prefix { $0 != "." })
    }
  }

  private static let importPrefixes: Set<String> = [
    "public", "internal", "private", "fileprivate", "package",
  ]
}

private struct Blanker {
  var rest: ArraySlice<Unicode.Scalar>
  var code = String.UnicodeScalarView()

  mutating func run() {
    while let scalar = rest.first {
      if starts("//") {
        while let next = rest.first, next != "\n" { rest.removeFirst() }
      } else if starts("/*") {
        skipBlockComment()
      } else if scalar == "\"" || (scalar == "#" && startsRawString()) {
        skipString()
      } else {
        code.append(scalar)
        rest.removeFirst()
      }
    }
  }

  private func starts(_ text: String) -> Bool { rest.starts(with: text.unicodeScalars) }

  private func startsRawString() -> Bool { rest.drop { $0 == "#" }.first == "\"" }

  /// Keeps the line breaks, so that line numbers stay right.
  private mutating func skip(_ count: Int) {
    for scalar in rest.prefix(count) where scalar == "\n" { code.append(scalar) }
    rest.removeFirst(min(count, rest.count))
  }

  private mutating func skipBlockComment() {
    var depth = 0
    repeat {
      if starts("/*") {
        depth += 1
        skip(2)
      } else if starts("*/") {
        depth -= 1
        skip(2)
      } else {
        skip(1)
      }
    } while depth > 0 && !rest.isEmpty
  }

  private mutating func skipString() {
    let hashes = String(repeating: "#", count: rest.prefix { $0 == "#" }.count)
    skip(hashes.count)
    let quotes = starts("\"\"\"") ? "\"\"\"" : "\""
    skip(quotes.count)
    while !rest.isEmpty, !starts(quotes + hashes) {
      // A line break ends a one-line literal: only then is a quote that was not one harmless.
      if quotes.count == 1, rest.first == "\n" { return }
      skip(starts("\\" + hashes) ? hashes.count + 2 : 1)
    }
    skip(quotes.count + hashes.count)
    code.append(contentsOf: "\"\"".unicodeScalars)
  }
}
