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
  @Flag(help: "Use RangeStream (etcd 3.7, Cairn): a request ends with the last chunk of its answer.")
  var stream = false
  @OptionGroup var load: LoadOptions
  @OptionGroup var keys: KeyOptions
  @OptionGroup var reads: ReadOptions

  func run() throws {
    var workload = Workload(.range(key: key.map { Array($0.utf8) }, end: Array((end ?? "").utf8)))
    keys.apply(to: &workload)
    reads.apply(to: &workload)
    workload.streamsRanges = stream
    try load.run("range", workload)
  }
}

struct RangePrefix: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Reads all keys with a prefix.")

  @Argument(help: "The prefix; empty is every key.")
  var prefix: String
  @Flag(help: "Use RangeStream (etcd 3.7, Cairn): a request ends with the last chunk of its answer.")
  var stream = false
  @OptionGroup var load: LoadOptions
  @OptionGroup var reads: ReadOptions

  func run() throws {
    let bytes = Array(prefix.utf8)
    // The empty key is not a key: every key lies at or above one zero byte.
    var workload = Workload(.range(key: bytes.isEmpty ? [0] : bytes, end: prefixEnd(bytes)))
    reads.apply(to: &workload)
    workload.streamsRanges = stream
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

struct STM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stm", abstract: "Runs transactions that read before they write, as etcd's Go client does.",
    discussion: "A request is a whole transaction, with all its calls and attempts.")

  @Option(help: "c: read committed, r: repeatable reads, s: serializable, ss: serializable snapshot.")
  var isolation = "r"
  @Option(help: "Keys to choose from.")
  var keys = 1
  @Option(help: "Keys of a transaction.")
  var keysPerTxn = 1
  @Option(help: "Of a transaction's keys those that are written, in percent.")
  var txnWrPercent = 50
  @Option(help: "stm: none but the transaction itself, lock-rpc: the server's Lock service.")
  var stmLocker = "stm"
  @OptionGroup var values: ValueOptions
  @OptionGroup var load: LoadOptions

  func validate() throws {
    guard SoftwareTransaction.Isolation(rawValue: isolation) != nil else {
      throw ValidationError("--isolation must be c, r, s or ss, not \(isolation)")
    }
    guard stmLocker == "stm" || stmLocker == "lock-rpc" else {
      throw ValidationError("--stm-locker must be stm or lock-rpc, not \(stmLocker)")
    }
    if keysPerTxn < 1 || keysPerTxn > keys {
      throw ValidationError("--keys-per-txn must be between 1 and --keys, not \(keysPerTxn)")
    }
    if txnWrPercent < 0 || txnWrPercent > 100 {
      throw ValidationError("--txn-wr-percent must be between 0 and 100, not \(txnWrPercent)")
    }
  }

  func run() throws {
    var options = SoftwareTransaction.Options()
    options.isolation = SoftwareTransaction.Isolation(rawValue: isolation) ?? .repeatableReads
    options.keyCount = keys
    options.keysPerTransaction = keysPerTxn
    options.writePercent = txnWrPercent
    options.locksByService = stmLocker == "lock-rpc"
    var workload = Workload(.softwareTransaction(options))
    workload.valueSize = values.valSize
    workload.keySize = 16
    workload.keySpaceSize = keys
    try load.run("stm", workload)
  }
}

struct LeaseKeepAlive: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lease-keepalive", abstract: "Renews leases, one for each of --clients.")

  @Flag(help: "Open a stream for each renewal, as etcd's tool does, instead of one for each lease.")
  var streamPerRequest = false
  @OptionGroup var load: LoadOptions

  func run() throws {
    try load.run("lease-keepalive", Workload(.leaseKeepAlive(isStreamPerRequest: streamPerRequest)))
  }
}
