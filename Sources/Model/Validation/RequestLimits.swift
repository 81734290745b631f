/// Limits that a request is checked against at the API, before it becomes a command.
public struct RequestLimits: Hashable, Sendable {
  /// `--max-txn-ops`: operations of one level of a transaction. A nested transaction gets what its parent leaves.
  public var maxTransactionOperations: Int
  /// `--max-request-bytes`: size of the encoded command, in bytes.
  public var maxRequestBytes: Int

  /// Levels of nesting that validation and evaluation follow. etcd bounds the depth by the operation budget
  /// alone; this bound keeps recursion within a thread's stack when the budget is raised.
  public static let transactionDepthMax = 256

  public init(maxTransactionOperations: Int = 128, maxRequestBytes: Int = 1_572_864) {
    self.maxTransactionOperations = maxTransactionOperations
    self.maxRequestBytes = maxRequestBytes
  }
}
