import ArgumentParser
import Model
import Offline
import WriteAheadLog

struct WAL: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wal", abstract: "Looks into the write-ahead log of a stopped member.",
    subcommands: [WALDump.self])
}

struct WALDump: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Prints what a log holds, in the order in which it was written.",
    discussion: """
      Lines have term, index, type and data, parted by tabs, in the form of etcd-dump-logs; commands are \
      decoded. With --records also segments, hard states, snapshot marks and configurations. Entries that later ones \
      supersede are printed as well. -w json gives an object per record. Keys and values are printed as they are.

      Entry types: ConfigChange, Normal, Request, InternalRaftRequest, IRRRange, IRRPut, IRRDeleteRange, IRRTxn, \
      IRRCompaction, IRRLeaseGrant, IRRLeaseRevoke, IRRLeaseCheckpoint.
      """)

  @OptionGroup var global: GlobalOptions
  @OptionGroup var output: OutputOptions
  @Option(help: "Path to the data directory.")
  var dataDir: String
  @Option(help: "Path to the WAL directory (use --data-dir if none given).")
  var walDir: String?
  @Option(help: "The entry types to print, separated by commas.")
  var entryType = "Normal,ConfigChange"
  @Option(help: "The index to start with.")
  var startIndex: UInt64 = 0
  @Flag(help: "Print every record, not entries alone.")
  var records = false

  func run() throws {
    let format = try output.format()
    guard format == .simple || format == .json else {
      throw Failure("\(format.rawValue) not supported as output format", code: ExitCodes.badFeature)
    }
    let filters = try entryType.split(separator: ",").map { name in
      guard let filter = EntryFilter(rawValue: String(name)) else {
        throw Failure("\(name) is not a valid entry-type", code: ExitCodes.badArguments)
      }
      return filter
    }
    let place = try global.place(dataDirectory: dataDir, logDirectory: walDir)
    if format == .simple { print("term\t     index\ttype\tdata") }
    var damages = 0
    let dump = LogDump(filters: filters, startIndex: startIndex)
    let count = try global.run { _ in
      try dump.run(place, disk: disk) { record in
        switch record.content {
        case .damage(let error):
          damages += 1
          Terminal.error("damage: \(error)\n")
        case .entry: print(format == .json ? json(record).json : line(record))
        default: if records { print(format == .json ? json(record).json : line(record)) }
        }
      }
    }
    if format == .simple { print("\nEntry types (\(entryType)) count is : \(count)") }
    if damages > 0 { throw ExitCode(ExitCodes.error) }
  }

  // MARK: text

  private func line(_ record: LogRecord) -> String {
    switch record.content {
    case .entry(let entry, let content): return line(entry, content)
    default:
      let message = json(record)
      return "\t\t\(message.text)"
    }
  }

  private func line(_ entry: Entry, _ content: EntryContent) -> String {
    let head = "\(padded("\(entry.term)", 4))\t\(padded("\(entry.index)", 10))"
    switch content {
    case .empty: return "\(head)\tnorm\t"
    case .command(let command): return "\(head)\tnorm\t\(MessageText(command).text)"
    case .configuration(let change):
      let id = String(change.nodeID, radix: 16)
      return "\(head)\tconf\tmethod=\(MessageText.name(of: change.kind)) id=\(id)"
    case .configurationV2(let change): return "\(head)\tconf\t\(MessageText(change).text)"
    case .unreadable(let kind): return "\(head)\t\(kind == .normal ? "norm" : "conf")\t???"
    }
  }

  private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  // MARK: JSON

  private func json(_ record: LogRecord) -> MessageText {
    var message = MessageText()
    message.add("file", record.file)
    message.add("offset", .integer(Int64(record.offset)))
    switch record.content {
    case .segment(let segment):
      message.add("segment", .unsigned(segment.sequence))
      message.add("cluster_id", String(segment.identity.clusterID, radix: 16))
      message.add("member_id", String(segment.identity.memberID, radix: 16))
      message.add("first_index", .unsigned(segment.firstIndex))
    case .entry(let entry, let content):
      message.add("term", .unsigned(entry.term))
      message.add("index", .unsigned(entry.index))
      switch content {
      case .empty: message.add("type", "norm")
      case .command(let command):
        message.add("type", "norm")
        message.add("request", MessageText(command))
      case .configuration(let change):
        message.add("type", "conf")
        message.add("change", MessageText(change))
      case .configurationV2(let change):
        message.add("type", "conf")
        message.add("change", MessageText(change))
      case .unreadable(let kind):
        message.add("type", kind == .normal ? "norm" : "conf")
        message.add("unreadable", entry.data)
      }
    case .hardState(let state):
      var part = MessageText()
      part.add("term", .unsigned(state.term))
      part.add("vote", String(state.vote, radix: 16))
      part.add("commit", .unsigned(state.commit))
      message.add("hard_state", part)
    case .snapshot(let metadata):
      var part = MessageText()
      part.add("index", .unsigned(metadata.index))
      part.add("term", .unsigned(metadata.term))
      part.add("conf_state", MessageText(metadata.confState))
      message.add("snapshot", part)
    case .configuration(let state): message.add("conf_state", MessageText(state))
    case .reset: message.add("marker", "reset")
    case .close: message.add("marker", "close")
    case .seal: message.add("marker", "seal")
    case .tornTail: message.add("marker", "torn tail")
    case .damage(let error): message.add("damage", "\(error)")
    }
    return message
  }
}
