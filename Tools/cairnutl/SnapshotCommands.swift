import ArgumentParser
import Disk
import Model
import Offline

struct Snapshot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Manages snapshots of a member.",
    subcommands: [SnapshotSaveCommand.self, SnapshotRestoreCommand.self, SnapshotStatusCommand.self])
}

struct SnapshotSaveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "save",
    abstract: "Stores a snapshot of a stopped member to a file.",
    discussion: """
      What is only in the member's log is put into its data file first, as its next start would do. To take a \
      snapshot of a running member, use `etcdctl snapshot save`.
      """)

  @OptionGroup var global: GlobalOptions
  @Option(help: "Path to the data directory.")
  var dataDir: String
  @Option(help: "Path to the WAL directory (use --data-dir if none given).")
  var walDir: String?
  @Argument(help: "The file to write; it must not exist.")
  var filename: String

  func run() throws {
    let place = try global.place(dataDirectory: dataDir, logDirectory: walDir)
    let saved = try global.run { try SnapshotSave.run(place, to: filename, disk: disk, report: $0) }
    if saved.unconfirmed > 0 {
      Terminal.error(
        "note: the log has \(saved.unconfirmed) entries of which this member alone cannot tell whether they were "
          + "committed; they are not in the snapshot\n")
    }
    print("Snapshot saved at \(filename)")
    Terminal.error(
      "revision \(saved.revision), \(saved.rows) rows, \(Size.text(saved.bytes)); \(saved.replayed) entries came from "
        + "the log\n")
  }
}

struct SnapshotStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Gets the status of a snapshot file.",
    discussion: """
      The file is verified as a whole. The simple form lists hash, revision, total keys, total size and version.
      """)

  @OptionGroup var global: GlobalOptions
  @OptionGroup var output: OutputOptions
  @Argument var filename: String

  func run() throws {
    let format = try output.format()
    let status = try global.run { try SnapshotStatus.read(disk: disk, path: filename, report: $0) }
    ResultRow(
      header: ["hash", "revision", "total keys", "total size", "version"],
      cells: [
        String(status.hash, radix: 16), "\(status.revision)", "\(status.totalKey)",
        Size.humanized(status.totalSize), status.version,
      ],
      fields: [
        ("Hash", "\(status.hash)"), ("Revision", "\(status.revision)"), ("Keys", "\(status.totalKey)"),
        ("Size", "\(status.totalSize)"), ("Version", status.version),
      ],
      json: [
        ("hash", "\(status.hash)"), ("revision", "\(status.revision)"), ("totalKey", "\(status.totalKey)"),
        ("totalSize", "\(status.totalSize)"), ("version", "\"\(status.version)\""),
      ]
    ).print(format)
  }
}

struct SnapshotRestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Makes the data directory of a member of a new cluster from a snapshot.",
    discussion: """
      The directory is there whole or not at all, whenever the tool is stopped. For a cluster of several members, \
      restore the same file once for each, with the same --initial-cluster and token.
      """)

  @OptionGroup var global: GlobalOptions
  @Option(help: "Path to the output data directory.")
  var dataDir: String
  @Option(help: "Path to the WAL directory (use --data-dir if none given).")
  var walDir: String?
  @Option(help: "Human-readable name for this member.")
  var name = "default"
  @Option(help: "Initial cluster configuration for restore bootstrap.")
  var initialCluster = "default=http://localhost:2380"
  @Option(help: "Initial cluster token for the cluster during restore bootstrap.")
  var initialClusterToken = "etcd-cluster"
  @Option(help: "List of this member's peer URLs to advertise to the rest of the cluster.")
  var initialAdvertisePeerUrls = "http://localhost:2380"
  @Flag(help: "Ignore the SHA-256 of the file; its chunks and rows are verified all the same.")
  var skipHashCheck = false
  @Option(help: "Accepted without effect: the map needs no size.")
  var initialMemoryMapSize: UInt64?
  @Option(help: "How much to increase the latest revision after restore.")
  var bumpRevision: UInt64 = 0
  @Flag(
    help: """
      Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, \
      disallowed otherwise).
      """)
  var markCompacted = false
  @Argument var filename: String

  func run() throws {
    guard (bumpRevision > 0) == markCompacted else {
      throw Failure("--mark-compacted required if --revision-bump > 0", code: ExitCodes.badArguments)
    }
    guard let bump = Int64(exactly: bumpRevision) else {
      throw Failure("--bump-revision is too large: \(bumpRevision)", code: ExitCodes.badArguments)
    }
    guard !dataDir.isEmpty, walDir != "" else { throw Failure("a directory's path is empty") }
    let cluster: InitialCluster
    let urls: [EndpointURL]
    do throws(ValueSyntaxError) {
      urls = try EndpointURL.list(parsing: initialAdvertisePeerUrls)
      cluster = try InitialCluster(parsing: initialCluster)
    } catch {
      throw Failure(error.text)
    }
    var plan = RestorePlan(
      snapshotPath: filename, dataDirectory: dataDir, logDirectory: walDir, name: name, cluster: cluster,
      clusterToken: initialClusterToken, advertisedPeerURLs: urls)
    plan.isHashChecked = !skipHashCheck
    plan.revisionBump = bump
    let restored = try global.run { report in
      try SnapshotRestore(
        plan: plan, disk: disk, saltSeed: UInt32.random(in: .min ... .max), report: report
      ).run()
    }
    Terminal.error(
      "restored \(filename) to \(dataDir): member \(String(restored.memberID, radix: 16)) of \(restored.members) in "
        + "cluster \(String(restored.clusterID, radix: 16)), revision \(restored.revision), \(restored.rows) rows\n"
    )
  }
}
