import ArgumentParser
import Model

struct Migrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Refuses: there is one storage version.",
    discussion: """
      etcdutl rewrites a data directory for an earlier etcd. Every version of Cairn so far reads and writes data \
      format 1, so there is nothing to go to or come from.
      """)

  @Option(help: "Path to the data directory.")
  var dataDir: String?
  @Option(help: "The version to go to.")
  var targetVersion: String?
  @Flag(help: "As etcdutl has it.")
  var force = false

  func run() throws {
    throw Failure(
      "migrate is not supported: data format 1 is the only one that Cairn has had, so there is no version to "
        + "migrate to or from")
  }
}

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Prints the version of cairnutl.")

  func run() {
    print("cairnutl version: \(Version.cairn)")
    print("API version: \(Version.api.split(separator: ".").prefix(2).joined(separator: "."))")
  }
}

struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints a completion script for a shell: bash, zsh or fish.")

  @Argument var shell: String

  func run() throws {
    let shells: [String: CompletionShell] = ["bash": .bash, "zsh": .zsh, "fish": .fish]
    guard let known = shells[shell] else {
      throw Failure(
        "no completion script for \(shell): bash, zsh and fish have one", code: ExitCodes.badArguments)
    }
    print(CairnUtl.completionScript(for: known))
  }
}
