import Foundation
import Testing

/// The README is read first: what it says about the repository is true.
@Suite struct MapTests {
  /// Paths in the first column of the map's tables: `| `Sources/Raft` | ... |`.
  private static func mapped() throws -> Set<String> {
    let readme = try #require(Repository.file("README.md"))
    var paths: Set<String> = []
    for line in readme.lines where line.hasPrefix("| `") {
      paths.insert(String(line.dropFirst(3).prefix { $0 != "`" }))
    }
    return paths
  }

  @Test func `every folder is on the map, and the map shows no other`() throws {
    var present: Set<String> = []
    for parent in ["Sources", "Tests", "Benchmarks"] {
      for folder in Repository.folders(in: parent) where !folder.hasPrefix("_") && !folder.hasPrefix(".") {
        present.insert("\(parent)/\(folder)")
      }
    }
    present.insert("Tools")
    let mapped = try Self.mapped()
    #expect(present.subtracting(mapped).sorted() == [], "not on the map")
    #expect(mapped.subtracting(present).sorted() == [], "on the map and not there")
  }

  @Test func `links lead somewhere`() throws {
    let pattern = try Regex(#"\]\(([^)#:]+)(#[^)]*)?\)"#, as: (Substring, Substring, Substring?).self)
    for file in Repository.files() where file.path.hasSuffix(".md") {
      let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
      for match in file.text.matches(of: pattern) {
        let target = Repository.root.appendingPathComponent(folder).appendingPathComponent(String(match.1))
        #expect((try? target.checkResourceIsReachable()) == true, "\(file) links to \(match.1)")
      }
    }
  }

  /// A guide's drawing with a comment such as `from Sources/X.swift` above it is made of lines of that file.
  @Test func `drawings in the guides are those beside the code`() throws {
    let pattern = try Regex(
      #"<!-- from (\S+) -->\n```\n((?:.*\n)*?)```"#, as: (Substring, Substring, Substring).self)
    var drawings = 0
    for guide in Repository.files(below: "Sources/Server/Server.docc") {
      for match in guide.text.matches(of: pattern) {
        drawings += 1
        let source = try #require(Repository.file(String(match.1)), "\(guide): no file \(match.1)")
        let sourceLines = Set(source.lines.map(Self.drawn))
        for line in match.2.split(separator: "\n") where !sourceLines.contains(Self.drawn(line)) {
          Issue.record("\(guide): not in \(source): \(line)")
        }
      }
    }
    #expect(drawings > 5)
  }

  /// A line without comment marks and blanks around it.
  private static func drawn(_ line: Substring) -> String {
    let text = line.drop { $0 == " " }.drop { $0 == "/" }
    return text.trimmingCharacters(in: .whitespaces)
  }

  @Test func `the README opens with the two commands`() throws {
    let readme = try #require(Repository.file("README.md"))
    let opening = readme.lines.prefix(25).joined(separator: "\n")
    #expect(opening.contains("./Tools/serve"))
    #expect(opening.contains("./Tools/test"))
  }
}
