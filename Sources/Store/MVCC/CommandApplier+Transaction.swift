import Model
import Primitives

extension CommandApplier {
  /// Compares and checks see the state before the transaction, operations see what earlier ones did; all changes
  /// share one main revision. A failed check leaves everything as it was.
  mutating func transaction(_ request: TransactionRequest) throws(StoreError) -> ApplyResult {
    switch try TransactionPlan.make(request, in: applier, at: point) {
    case .failure(let error): return failure(error)
    case .success(let plan):
      var body = ProtoWriter()
      var position = 0
      try execute(request, plan, &position, body: &body)
      return success(body)
    }
  }

  private mutating func execute(
    _ request: TransactionRequest, _ plan: TransactionPlan, _ position: inout Int, body: inout ProtoWriter
  ) throws(StoreError) {
    let taken = plan.branches[position]
    position += 1
    body.appendSucceeded(taken)
    for operation in taken ? request.success : request.failure {
      switch operation {
      case .none: body.appendEmptyOperationResponse()
      case .range(let range):
        tally.ranges += 1
        try body.appendRangeResponse(range, in: applier, at: point)
      case .put(let put):
        let open = body.beginOperationResponse(.put, headerRevision: main)
        try self.put(put, body: &body)
        body.endOperationResponse(open)
      case .deleteRange(let delete):
        // Its header tells whether anything has changed by then, so the body has to be known first.
        var response = ProtoWriter()
        try deleteRange(delete, body: &response)
        body.appendOperationResponse(.deleteRange, headerRevision: current, body: response.bytes)
      case .transaction(let nested):
        // etcd leaves the headers of nested transactions empty.
        let open = body.beginOperationResponse(.transaction, headerRevision: 0)
        try execute(nested, plan, &position, body: &body)
        body.endOperationResponse(open)
      }
    }
  }
}
