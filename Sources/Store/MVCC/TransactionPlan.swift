public import Model
public import Primitives

/// Answers transactions that change nothing.
public enum TransactionEvaluator {
  /// A transaction for which `isReadOnly` holds; like `RangeEvaluator.range`. `ranges` counts what was read.
  public static func readOnly(
    _ request: TransactionRequest, in view: ReadView, body: inout ProtoWriter, ranges: inout UInt64
  ) throws(StoreError) -> Result<Int64, ClientError> {
    precondition(request.isReadOnly, "anything else goes through the log")
    let point = ReadPoint(revision: view.revision, compactRevision: view.compactRevision)
    switch try TransactionPlan.make(request, in: view, at: point) {
    case .failure(let error): return .failure(error)
    case .success(let plan):
      body.appendSucceeded(plan.branches[0])
      for operation in plan.branches[0] ? request.success : request.failure {
        guard case .range(let range) = operation else { continue }
        try body.appendRangeResponse(range, in: view, at: point)
        ranges += 1
      }
      return .success(point.revision)
    }
  }
}

/// The branches that a transaction and those nested in it take, decided before anything is changed.
struct TransactionPlan {
  /// Whether the compares held, for the transaction and those of its chosen operations that are transactions,
  /// depth first.
  private(set) var branches: [Bool] = []

  /// Evaluates all compares and then checks the chosen operations, both on the state before the transaction.
  static func make(
    _ request: TransactionRequest, in reader: some KeyReader, at point: ReadPoint
  ) throws(StoreError) -> Result<TransactionPlan, ClientError> {
    var plan = TransactionPlan()
    let fits = try plan.decide(
      request, in: reader, at: point.revision, depthLeft: RequestLimits.transactionDepthMax)
    if !fits { return .failure(.tooManyOperations) }
    var position = 0
    let error = try plan.check(request, &position, in: reader, at: point)
    return error.map { .failure($0) } ?? .success(plan)
  }

  /// False if the transaction is nested deeper than evaluation goes: only a command that skipped validation.
  private mutating func decide(
    _ request: TransactionRequest, in reader: some KeyReader, at revision: Int64, depthLeft: Int
  ) throws(StoreError) -> Bool {
    if depthLeft == 0 { return false }
    var taken = true
    for compare in request.compare where taken { taken = try compare.holds(in: reader, at: revision) }
    branches.append(taken)
    for operation in taken ? request.success : request.failure {
      guard case .transaction(let nested) = operation else { continue }
      if !(try decide(nested, in: reader, at: revision, depthLeft: depthLeft - 1)) { return false }
    }
    return true
  }

  private func check(
    _ request: TransactionRequest, _ position: inout Int, in reader: some KeyReader, at point: ReadPoint
  ) throws(StoreError) -> ClientError? {
    let taken = branches[position]
    position += 1
    for operation in taken ? request.success : request.failure {
      let error: ClientError?
      switch operation {
      case .none, .deleteRange: error = nil
      case .range(let range): error = range.revisionError(at: point)
      case .put(let put): error = try put.stateError(in: reader, at: point.revision, inTransaction: true)
      case .transaction(let nested): error = try check(nested, &position, in: reader, at: point)
      }
      if let error { return error }
    }
    return nil
  }
}

extension RangeRequest {
  /// Inside a transaction a negative revision is taken literally: compacted, once anything has been.
  fileprivate func revisionError(at point: ReadPoint) -> ClientError? {
    if revision == 0 { return nil }
    if revision > point.revision { return .futureRevision }
    return revision < point.compactRevision ? .compacted : nil
  }
}

extension PutRequest {
  /// What etcd checks of a put against the state. Of two faults it names the lease's first for a put on its own, and
  /// the missing key's first for one in a transaction.
  func stateError(
    in reader: some KeyReader, at revision: Int64, inTransaction: Bool
  ) throws(StoreError) -> ClientError? {
    // Validation refuses it earlier; a log entry from elsewhere may hold one.
    if key.isEmpty { return .keyNotProvided }
    let leaseIsMissing = lease == 0 ? false : try !reader.leaseExists(lease)
    if leaseIsMissing, !inTransaction { return .leaseNotFound }
    if ignoreValue || ignoreLease, try reader.live(key, at: revision) == nil { return .keyNotFound }
    return leaseIsMissing ? .leaseNotFound : nil
  }
}

extension ProtoWriter {
  /// The response of a range that has passed the checks of its transaction.
  mutating func appendRangeResponse(
    _ range: RangeRequest, in reader: some KeyReader, at point: ReadPoint
  ) throws(StoreError) {
    let open = beginOperationResponse(.range, headerRevision: point.revision)
    if case .failure(let error) = try RangeEvaluator.evaluate(range, in: reader, at: point, body: &self) {
      preconditionFailure("a checked range failed: \(error)")
    }
    endOperationResponse(open)
  }
}
