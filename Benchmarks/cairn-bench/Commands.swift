import ArgumentParser
import Client

struct Put: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Puts keys.")

  @OptionGroup var load: LoadOptions
  @OptionGroup var keys: KeyOptions
  @OptionGroup var values: ValueOptions

  func run() throws {
    var workload = Workload(.put)
    keys.apply(to: &workload)
    workload.valueSize = values.valSize
    try load.run("put", workload)
  }
}

struct Range: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads a key, a range, or keys of the key space that `put` wrote.")

  @Argument(help: "The key, or the first of a range. Without it each request reads one key of the key space.")
  var key: String?
  @Argument(help: "The end of the range, not part of it.")
  var end: String?
  @OptionGroup var load: LoadOptions
  @OptionGroup var keys: KeyOptions
  @OptionGroup var reads: ReadOptions

  func run() throws {
    var workload = Workload(.range(key: key.map { Array($0.utf8) }, end: Array((end ?? "").utf8)))
    keys.apply(to: &workload)
    reads.apply(to: &workload)
    try load.run("range", workload)
  }
}

struct RangePrefix: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Reads all keys with a prefix.")

  @Argument(help: "The prefix; empty is every key.")
  var prefix: String
  @OptionGroup var load: LoadOptions
  @OptionGroup var reads: ReadOptions

  func run() throws {
    let bytes = Array(prefix.utf8)
    // The empty key is not a key: every key lies at or above one zero byte.
    var workload = Workload(.range(key: bytes.isEmpty ? [0] : bytes, end: prefixEnd(bytes)))
    reads.apply(to: &workload)
    try load.run("range-prefix", workload)
  }
}

struct TransactionPut: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "txn-put", abstract: "Puts keys in transactions.")

  @Option(help: "Puts in each transaction.")
  var txnOps = 1
  @OptionGroup var load: LoadOptions
  @OptionGroup var keys: KeyOptions
  @OptionGroup var values: ValueOptions

  func validate() throws {
    if txnOps < 1 { throw ValidationError("--txn-ops must be at least 1") }
    // A key may be put once in a transaction.
    if txnOps > keys.keySpaceSize {
      throw ValidationError("--txn-ops \(txnOps) needs a --key-space-size of at least as much")
    }
    if txnOps > 1, !keys.sequentialKeys {
      throw ValidationError("--txn-ops above 1 needs --sequential-keys: a transaction puts no key twice")
    }
  }

  func run() throws {
    var workload = Workload(.transactionPut(operations: txnOps))
    keys.apply(to: &workload)
    workload.valueSize = values.valSize
    try load.run("txn-put", workload)
  }
}

struct TransactionMixed: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "txn-mixed", abstract: "Reads a range or puts a key, each in a transaction.")

  @Argument(help: "The key that is read, or the first of a range.")
  var key: String
  @Option(help: "The end of the range that is read.")
  var endKey = ""
  @Option(help: "Reads for each write.")
  var rwRatio = 1.0
  @OptionGroup var load: LoadOptions
  @OptionGroup var keys: KeyOptions
  @OptionGroup var values: ValueOptions
  @OptionGroup var reads: ReadOptions

  func validate() throws {
    if !(rwRatio >= 0) || rwRatio.isInfinite { throw ValidationError("--rw-ratio must not be negative") }
  }

  func run() throws {
    let share = Int((1000 * rwRatio / (1 + rwRatio)).rounded())
    var workload = Workload(
      .transactionMixed(key: Array(key.utf8), end: Array(endKey.utf8), readShare: share))
    keys.apply(to: &workload)
    reads.apply(to: &workload)
    workload.valueSize = values.valSize
    try load.run("txn-mixed", workload)
  }
}
