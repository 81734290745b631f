import Model

/// The transaction checks as etcd makes them, on sets and lists, without a thought for their cost.
enum NaiveValidation {
  static func error(_ request: TransactionRequest, operationsMax: Int) -> ClientError? {
    if let error = level(request, operationsMax) { return error }
    if overlap(request.success) == nil || overlap(request.failure) == nil { return .duplicateKey }
    return nil
  }

  private static func level(_ request: TransactionRequest, _ operationsMax: Int) -> ClientError? {
    let used = [request.compare.count, request.success.count, request.failure.count].max() ?? 0
    if used > operationsMax { return .tooManyOperations }
    if request.compare.contains(where: { $0.key.isEmpty }) { return .keyNotProvided }
    for operation in request.success + request.failure {
      switch operation {
      case .none: return .keyNotFound
      case .range(let range):
        if range.key.isEmpty { return .keyNotProvided }
        if !(0...2).contains(range.sortOrder) || !(0...4).contains(range.sortTarget) {
          return .invalidSortOption
        }
      case .put(let put):
        if put.key.isEmpty { return .keyNotProvided }
        if put.ignoreValue && !put.value.isEmpty { return .valueProvided }
        if put.ignoreLease && put.lease != 0 { return .leaseProvided }
      case .deleteRange(let delete): if delete.key.isEmpty { return .keyNotProvided }
      case .transaction(let nested):
        if let error = level(nested, operationsMax - used) { return error }
      }
    }
    return nil
  }

  private typealias Touched = (puts: Set<[UInt8]>, deletes: [DeleteRangeRequest])

  private static func covers(_ delete: DeleteRangeRequest, _ key: [UInt8]) -> Bool {
    if delete.rangeEnd.isEmpty { return delete.key == key }
    // The end is taken literally here, so `\0` never covers anything.
    return !key.lexicographicallyPrecedes(delete.key) && key.lexicographicallyPrecedes(delete.rangeEnd)
  }

  /// Nil for a conflict.
  private static func overlap(_ operations: [RequestOperation]) -> Touched? {
    var puts: Set<[UInt8]> = []
    var deletes: [DeleteRangeRequest] = []
    for case .deleteRange(let delete) in operations { deletes.append(delete) }
    for case .transaction(let nested) in operations {
      guard let first = overlap(nested.success), let second = overlap(nested.failure) else { return nil }
      for key in first.puts {
        if puts.contains(key) || deletes.contains(where: { covers($0, key) }) { return nil }
      }
      for key in second.puts {
        if puts.contains(key) || deletes.contains(where: { covers($0, key) }) { return nil }
      }
      puts.formUnion(first.puts)
      puts.formUnion(second.puts)
      deletes += first.deletes + second.deletes
    }
    for case .put(let put) in operations {
      if puts.contains(put.key) || deletes.contains(where: { covers($0, put.key) }) { return nil }
      puts.insert(put.key)
    }
    return (puts, deletes)
  }
}
