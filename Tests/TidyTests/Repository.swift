import Foundation

/// The files of this repository, found from the place of this source file.
enum Repository {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// A text file and its path from the root.
  struct File: Sendable, CustomStringConvertible {
    let path: String
    let text: String
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    var description: String { path }
  }

  private static let skippedFolders: Set<String> = [
    ".git", ".build", ".swiftpm", ".cache", ".venv", "cairn-data", "__pycache__", "Generated", "Fixtures",
    ".environments",
  ]
  private static let textSuffixes: Set<String> = [
    "swift", "md", "py", "sh", "c", "h", "proto", "txt", "yml", "yaml", "json", "toml", "modulemap", "",
  ]

  /// All text files below a folder, without build products and generated code, in order of their paths.
  static func files(below folder: String = "") -> [File] {
    var found: [File] = []
    collect(folder, &found)
    return found
  }

  static func swiftFiles(below folder: String = "") -> [File] {
    files(below: folder).filter { $0.path.hasSuffix(".swift") }
  }

  /// The names of the folders directly in a folder; none if it does not exist.
  static func folders(in folder: String) -> [String] {
    entries(folder).filter { isFolder(folder.isEmpty ? $0 : "\(folder)/\($0)") }
  }

  static func file(_ path: String) -> File? {
    guard let data = FileManager.default.contents(atPath: root.appendingPathComponent(path).path),
      let text = String(data: data, encoding: .utf8)
    else { return nil }
    return File(path: path, text: text)
  }

  private static func collect(_ folder: String, _ found: inout [File]) {
    for name in entries(folder) {
      let path = folder.isEmpty ? name : "\(folder)/\(name)"
      if isFolder(path) {
        if !skippedFolders.contains(name), !name.hasPrefix(".build") { collect(path, &found) }
      } else if textSuffixes.contains((name as NSString).pathExtension), let file = file(path) {
        found.append(file)
      }
    }
  }

  private static func entries(_ folder: String) -> [String] {
    let path = root.appendingPathComponent(folder).path
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  private static func isFolder(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(
      atPath: root.appendingPathComponent(path).path, isDirectory: &isDirectory)
      && isDirectory.boolValue
  }
}
