import ArgumentParser
import Disk
import Glibc
import Offline

struct Defrag: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Defragments the data file of a stopped member.",
    discussion: "For a running member use `etcdctl defrag`, which works beside live traffic.")

  @OptionGroup var global: GlobalOptions
  @Option(help: "Path to the data directory.")
  var dataDir: String

  func run() throws {
    let place = try global.place(dataDirectory: dataDir, logDirectory: nil)
    let done = try global.run { try OfflineDefragment.run(place, disk: disk, report: $0) }
    Terminal.error("\(Size.text(Int(done.bytesBefore))) before, \(Size.text(Int(done.bytesAfter))) after\n")
  }
}

struct HashKV: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hashkv",
    abstract: "Prints the hash of the keys' history, as HashKV answers it.",
    discussion: """
      Of a snapshot file, which is laid out in a file of the temporary directory first (TMPDIR, or /var/tmp), or \
      of a stopped member, what is only in its log included. The simple form lists hash, hash revision and compact \
      revision.
      """)

  @OptionGroup var global: GlobalOptions
  @OptionGroup var output: OutputOptions
  @Option(help: "Path to the data directory, in the place of a file.")
  var dataDir: String?
  @Option(help: "Path to the WAL directory (use --data-dir if none given).")
  var walDir: String?
  @Option(help: "The revision to hash; 0 is the latest one.")
  var rev: Int64 = 0
  @Argument var filename: String?

  func validate() throws {
    if (filename == nil) == (dataDir == nil) { throw ValidationError("name a snapshot file or --data-dir") }
    if dataDir == nil, walDir != nil { throw ValidationError("--wal-dir goes with --data-dir") }
  }

  func run() throws {
    let format = try output.format()
    let hash = try global.run { report in
      if let dataDir {
        let place = try global.place(dataDirectory: dataDir, logDirectory: walDir)
        return try KeyHash.of(place, revision: rev, disk: disk, report: report)
      }
      return try KeyHash.of(
        snapshot: filename ?? "", revision: rev, scratchPath: scratchPath(), disk: disk, report: report)
    }
    ResultRow(
      header: ["hash", "hash revision", "compact revision"],
      cells: ["\(hash.hash)", "\(hash.hashRevision)", "\(hash.compactRevision)"],
      fields: [
        ("Hash", "\(hash.hash)"), ("Hash revision", "\(hash.hashRevision)"),
        ("Compact revision", "\(hash.compactRevision)"),
      ],
      json: [
        ("hash", "\(hash.hash)"), ("hashRevision", "\(hash.hashRevision)"),
        ("compactRevision", "\(hash.compactRevision)"),
      ]
    ).print(format)
  }

  /// /tmp is often in memory, which a store must not fill.
  private func scratchPath() -> String {
    let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
    return "\(directory)/cairnutl-hashkv-\(getpid()).mdb"
  }
}

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads everything of a stopped member, or snapshot files, and names each bad place.",
    discussion: """
      Checked are every row's checksums, the set-hash over all of them, the trees of the data file, rows of \
      different tables against each other, the chain of the log and every entry of it, and snapshot files. Each \
      bad place is a line on standard output: file, offset, reason. Nothing is changed. Exit code 1 if there \
      is any.
      """)

  @OptionGroup var global: GlobalOptions
  @OptionGroup var output: OutputOptions
  @Option(help: "Path to the data directory.")
  var dataDir: String?
  @Option(help: "Path to the WAL directory (use --data-dir if none given).")
  var walDir: String?
  @Argument(help: "Snapshot files.")
  var files: [String] = []

  func validate() throws {
    if dataDir == nil && files.isEmpty { throw ValidationError("name --data-dir or snapshot files") }
    if dataDir == nil, walDir != nil { throw ValidationError("--wal-dir goes with --data-dir") }
  }

  func run() throws {
    let format = try output.format()
    guard format == .simple || format == .json else {
      throw Failure("\(format.rawValue) not supported as output format", code: ExitCodes.badFeature)
    }
    let summary = try global.run { report in
      let check = MemberCheck(
        disk: disk, bad: { show($0, format) }, note: { Terminal.error("note: \($0)\n") }, report: report)
      var summary = CheckSummary()
      if let dataDir {
        summary = try check.check(try global.place(dataDirectory: dataDir, logDirectory: walDir))
      }
      for file in files { summary = check.check(snapshot: file) }
      return summary
    }
    Terminal.error(
      "checked \(summary.stores) stores (\(summary.storePages) pages, \(summary.storeRows) rows), "
        + "\(summary.logFrames) log frames (\(summary.logEntries) entries), \(summary.snapshots) snapshot files: "
        + "\(summary.badPlaces) bad places\n")
    if summary.badPlaces > 0 { throw ExitCode(ExitCodes.error) }
  }

  private func show(_ place: BadPlace, _ format: OutputFormat) {
    if format == .simple { return print("\(place.file): offset \(place.offset): \(place.reason)") }
    var message = MessageText()
    message.add("file", place.file)
    message.add("offset", .integer(Int64(place.offset)))
    message.add("reason", place.reason)
    print(message.json)
  }
}
