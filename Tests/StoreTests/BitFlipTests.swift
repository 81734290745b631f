import Foundation
import Testing

/// Random bits flipped in every page of a store's file, one at a time: meta pages, branches, leaves, overflow
/// pages, the list of free pages. A member that opens the file and reads it through must have exactly the data
/// that was there, or an error that names what is wrong, or end with a signal, which the server's handler
/// names: never other data.
struct BitFlipTests {
  #if DEBUG
    private static let flipsPerPage = 2
  #else
    private static let flipsPerPage = 64
  #endif

  /// The flips are judged in processes that a child of the tests forks, so that each is judged alone and may end as
  /// it will, and no other thread runs beside.
  @Test(.timeLimit(.minutes(5)))
  func noFlippedBitIsReadAsData_S18_14102() async throws {
    let directory = try EngineDirectory()
    let (path, perPage) = (directory.path, Self.flipsPerPage)
    try await #require(processExitsWith: .success) {
      [path = path as String, perPage = perPage as Int] in
      try FlippedFile(path).judgeAll(perPage: perPage)
    }
    let outcomes = try String(contentsOfFile: "\(path)/outcomes", encoding: .utf8).split(separator: "\n")
    let lines = outcomes.filter { $0.hasPrefix("wrong") }
    #expect(lines.isEmpty, "\(lines.prefix(20))")
    let counts = Dictionary(grouping: outcomes) { $0.prefix { $0 != " " } }.mapValues(\.count)
    // All outcomes occur, or nothing was looked at; and an end by a signal is the exception.
    let (exact, named, ended) = (counts["exact"] ?? 0, counts["named"] ?? 0, counts["ended"] ?? 0)
    #expect(exact > outcomes.count / 20 && named > outcomes.count / 4 && ended < outcomes.count / 20)
    #expect(outcomes.count >= 50 * perPage)
    let kinds = Set(outcomes.compactMap { $0.split(separator: " ").dropFirst(2).first })
    #expect(kinds.isSuperset(of: ["meta", "branch", "leaf", "overflow"]), "\(kinds)")
  }
}
