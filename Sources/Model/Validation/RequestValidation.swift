// The checks that the KV service makes before a request reaches the store, in etcd's order: the first one that
// fails decides the answer, and clients match its text.

extension RangeRequest {
  public func validate(_ limits: RequestLimits) -> ClientError? {
    if key.isEmpty { return .keyNotProvided }
    if SortOrder(rawValue: sortOrder) == nil || SortTarget(rawValue: sortTarget) == nil {
      return .invalidSortOption
    }
    return nil
  }

  /// The further checks of RangeStream. Order NONE passes with any sort target.
  public func validateForStream(_ limits: RequestLimits) -> ClientError? {
    if let error = validate(limits) { return error }
    if !isDefaultOrder { return .rangeStreamSort }
    if hasRevisionFilters { return .rangeStreamFilters }
    return nil
  }

  /// The result comes in key order without sorting. NONE counts as such whatever the target: etcd then cuts by
  /// limit first and sorts the remainder.
  public var isDefaultOrder: Bool {
    sortOrder == SortOrder.none.rawValue
      || (sortTarget == SortTarget.key.rawValue && sortOrder == SortOrder.ascend.rawValue)
  }

  public var hasRevisionFilters: Bool {
    minModRevision != 0 || maxModRevision != 0 || minCreateRevision != 0 || maxCreateRevision != 0
  }
}

extension PutRequest {
  public func validate(_ limits: RequestLimits) -> ClientError? {
    if key.isEmpty { return .keyNotProvided }
    if ignoreValue && !value.isEmpty { return .valueProvided }
    if ignoreLease && lease != 0 { return .leaseProvided }
    return nil
  }
}

extension DeleteRangeRequest {
  public func validate(_ limits: RequestLimits) -> ClientError? {
    key.isEmpty ? .keyNotProvided : nil
  }
}

extension CompactionRequest {
  /// Every revision is well formed; whether it can be compacted is known only when the command is applied.
  public func validate(_ limits: RequestLimits) -> ClientError? { nil }
}

extension TransactionRequest {
  public func validate(_ limits: RequestLimits) -> ClientError? {
    if let error = validateLevel(
      limits, operationsLeft: limits.maxTransactionOperations, depthLeft: RequestLimits.transactionDepthMax)
    {
      return error
    }
    if OverlapCheck.conflicts(success) || OverlapCheck.conflicts(failure) { return .duplicateKey }
    return nil
  }

  /// A transaction of nothing but ranges at its top level: it needs no log entry. A nested transaction counts as
  /// a write, whatever is in it.
  public var isReadOnly: Bool {
    func onlyRanges(_ operations: [RequestOperation]) -> Bool {
      operations.allSatisfy { if case .range = $0 { true } else { false } }
    }
    return onlyRanges(success) && onlyRanges(failure)
  }

  /// Every operation is a serializable range, so that the local state may answer.
  public var isSerializable: Bool {
    func allSerializable(_ operations: [RequestOperation]) -> Bool {
      operations.allSatisfy { if case .range(let range) = $0 { range.serializable } else { false } }
    }
    return allSerializable(success) && allSerializable(failure)
  }

  private func validateLevel(_ limits: RequestLimits, operationsLeft: Int, depthLeft: Int) -> ClientError? {
    let operations = max(compare.count, success.count, failure.count)
    if operations > operationsLeft || depthLeft == 0 { return .tooManyOperations }
    for comparison in compare where comparison.key.isEmpty { return .keyNotProvided }
    for list in [success, failure] {
      for operation in list {
        let error: ClientError?
        switch operation {
        case .none: error = .keyNotFound
        case .range(let request): error = request.validate(limits)
        case .put(let request): error = request.validate(limits)
        case .deleteRange(let request): error = request.validate(limits)
        case .transaction(let request):
          error = request.validateLevel(
            limits, operationsLeft: operationsLeft - operations, depthLeft: depthLeft - 1)
        }
        if let error { return error }
      }
    }
    return nil
  }
}
