import ArgumentParser

/// Works on a stopped member's files and on snapshot files; commands, flags, output and exit codes are etcdutl's where
/// etcdutl has the command.
@main
struct CairnUtl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cairnutl",
    abstract: "Works on the files of a stopped member and on snapshot files.",
    discussion: """
      Exit codes: 0 done; 1 it failed, or check found a bad place; 4 an output format that the command does not have; \
      64 and 128 wrong usage. Messages and progress go to standard error, results to standard output.
      """,
    subcommands: [
      Snapshot.self, Defrag.self, HashKV.self, Check.self, WAL.self, Migrate.self, VersionCommand.self,
      Completion.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let failure as Failure {
      Terminal.error("Error: \(failure.text)\n")
      exit(withError: ExitCode(failure.code))
    } catch {
      exit(withError: error)
    }
  }
}

/// Ends the process with a line on standard error, as etcd's tools do.
struct Failure: Error {
  var text: String
  var code: Int32

  init(_ error: any Error) {
    text = "\(error)"
    code = ExitCodes.error
  }

  init(_ text: String, code: Int32 = ExitCodes.error) {
    self.text = text
    self.code = code
  }
}

/// The exit codes of etcd's tools.
enum ExitCodes {
  static let error: Int32 = 1
  static let badFeature: Int32 = 4
  static let badArguments: Int32 = 128
}

/// Flags of every command that reads or writes files.
struct GlobalOptions: ParsableArguments {
  @Option(
    help: "How long to wait for a member that uses the directory, such as 10s or 1m30s; 0 waits without end.")
  var timeout = "10s"
  @Flag(help: "Show no progress.")
  var quiet = false

  func validate() throws { _ = try timeoutMilliseconds() }

  func timeoutMilliseconds() throws -> Int64 {
    guard let milliseconds = Duration(goNotation: timeout) else {
      throw ValidationError("invalid duration \"\(timeout)\" for --timeout")
    }
    return milliseconds.milliseconds
  }
}

/// How results are printed.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.customShort("w"), .long], help: "The form of the output: simple, fields, json, table.")
  var writeOut = "simple"

  /// etcdutl has names for more forms than it supports.
  func format() throws -> OutputFormat {
    guard let format = OutputFormat(rawValue: writeOut) else {
      throw Failure("unsupported output format", code: ExitCodes.badFeature)
    }
    guard format != .protobuf else {
      throw Failure("protobuf not supported as output format", code: ExitCodes.badFeature)
    }
    return format
  }
}

enum OutputFormat: String {
  case simple, fields, json, table, protobuf
}
