public import Primitives

// Response bodies: encoded response messages without their header (field 1), which the front puts before
// them. Appended piece by piece, fields in ascending order; key-values are already encoded rows.

extension ProtoWriter {
  // MARK: RangeResponse: any number of key-values, then the end

  public mutating func appendRangeKeyValue(_ encoded: UnsafeRawBufferPointer) {
    unsafe bytesField(2, encoded)
  }

  /// A row whose encoding differs from the stored one: without its value (keys_only).
  public mutating func appendRangeKeyValue(_ keyValue: KeyValueView) {
    message(2, size: keyValue.encodedSize)
    keyValue.encode(into: &self)
  }

  public mutating func appendRangeEnd(more: Bool, count: Int64) {
    bool(3, more)
    int64(4, count)
  }

  // MARK: PutResponse; a put without prev_kv has an empty body

  public mutating func appendPutPrevious(_ encoded: UnsafeRawBufferPointer) {
    unsafe bytesField(2, encoded)
  }

  // MARK: DeleteRangeResponse: the count, then the previous key-values when they were asked for

  public mutating func appendDeleted(_ count: Int64) {
    int64(2, count)
  }

  public mutating func appendDeletePrevious(_ encoded: UnsafeRawBufferPointer) {
    unsafe bytesField(3, encoded)
  }

  // MARK: TxnResponse: the branch taken, then one response per operation

  public mutating func appendSucceeded(_ succeeded: Bool) {
    bool(2, succeeded)
  }

  /// Begins the response of one operation of a transaction: a ResponseOp, the response in it, and that
  /// response's header, of which etcd sets the revision alone. The response's body follows.
  public mutating func beginOperationResponse(
    _ kind: OperationResponseKind, headerRevision: Int64
  ) -> OpenOperationResponse {
    let operation = beginMessage(3)
    let response = beginMessage(kind.rawValue)
    message(1, size: ProtoSize.int64(3, headerRevision))
    int64(3, headerRevision)
    return OpenOperationResponse(operation: operation, response: response)
  }

  public mutating func endOperationResponse(_ open: OpenOperationResponse) {
    endMessage(open.response)
    endMessage(open.operation)
  }

  /// The response of an operation in one piece.
  public mutating func appendOperationResponse(
    _ kind: OperationResponseKind, headerRevision: Int64, body: [UInt8]
  ) {
    let header = ProtoSize.int64(3, headerRevision)
    let response = ProtoSize.message(1, size: header) + body.count
    message(3, size: ProtoSize.message(kind.rawValue, size: response))
    message(kind.rawValue, size: response)
    message(1, size: header)
    int64(3, headerRevision)
    raw(body)
  }

  /// A ResponseOp without a response: what etcd answers to an operation without a request.
  public mutating func appendEmptyOperationResponse() {
    message(3, size: 0)
  }

  // MARK: All responses

  /// A whole response: its header as field 1 and its body.
  public mutating func appendResponse(_ header: ResponseHeader, body: [UInt8]) {
    messageField(1, header)
    raw(body)
  }
}

/// The member of ResponseOp's union, by its field number.
public enum OperationResponseKind: Int, Sendable {
  case range = 1
  case put = 2
  case deleteRange = 3
  case transaction = 4
}

/// The response of an operation that is being written.
public struct OpenOperationResponse: Sendable {
  fileprivate let operation: ProtoWriter.OpenMessage
  fileprivate let response: ProtoWriter.OpenMessage
}
