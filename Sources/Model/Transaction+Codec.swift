public import Primitives

extension Compare: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): result = try reader.readInt32()
      case .varint(2): target = try reader.readInt32()
      case .length(3): key = try reader.readBytes()
      case .varint(4): operand = .version(try reader.readInt64())
      case .varint(5): operand = .createRevision(try reader.readInt64())
      case .varint(6): operand = .modRevision(try reader.readInt64())
      case .length(7): operand = .value(try reader.readBytes())
      case .varint(8): operand = .lease(try reader.readInt64())
      case .length(64): rangeEnd = try reader.readBytes()
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    writer.int32(1, result)
    writer.int32(2, target)
    writer.bytes(3, key)
    // A member of a union is written even when it is zero: its presence is the information.
    switch operand {
    case .none: break
    case .version(let value): writer.varintField(4, UInt64(bitPattern: value))
    case .createRevision(let value): writer.varintField(5, UInt64(bitPattern: value))
    case .modRevision(let value): writer.varintField(6, UInt64(bitPattern: value))
    case .value(let value): writer.bytesField(7, value)
    case .lease(let value): writer.varintField(8, UInt64(bitPattern: value))
    }
    writer.bytes(64, rangeEnd)
  }

  public var encodedSize: Int {
    var size = ProtoSize.int32(1, result)
    size += ProtoSize.int32(2, target)
    size += ProtoSize.bytes(3, count: key.count)
    switch operand {
    case .none: break
    case .version(let value): size += ProtoSize.varintField(4, UInt64(bitPattern: value))
    case .createRevision(let value): size += ProtoSize.varintField(5, UInt64(bitPattern: value))
    case .modRevision(let value): size += ProtoSize.varintField(6, UInt64(bitPattern: value))
    case .value(let value): size += ProtoSize.message(7, size: value.count)
    case .lease(let value): size += ProtoSize.varintField(8, UInt64(bitPattern: value))
    }
    size += ProtoSize.bytes(64, count: rangeEnd.count)
    return size
  }
}

extension RequestOperation: WireMessage {
  public init() { self = .none }

  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      // The union's last member wins; the same member again is merged with what came before.
      switch tag {
      case .length(1):
        var request = RangeRequest()
        if case .range(let earlier) = self { request = earlier }
        try request.mergeField(&reader)
        self = .range(request)
      case .length(2):
        var request = PutRequest()
        if case .put(let earlier) = self { request = earlier }
        try request.mergeField(&reader)
        self = .put(request)
      case .length(3):
        var request = DeleteRangeRequest()
        if case .deleteRange(let earlier) = self { request = earlier }
        try request.mergeField(&reader)
        self = .deleteRange(request)
      case .length(4):
        var request = TransactionRequest()
        if case .transaction(let earlier) = self { request = earlier }
        try request.mergeField(&reader)
        self = .transaction(request)
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    switch self {
    case .none: break
    case .range(let request): writer.messageField(1, request)
    case .put(let request): writer.messageField(2, request)
    case .deleteRange(let request): writer.messageField(3, request)
    case .transaction(let request): writer.messageField(4, request)
    }
  }

  public var encodedSize: Int {
    switch self {
    case .none: 0
    case .range(let request): ProtoSize.messageField(1, request)
    case .put(let request): ProtoSize.messageField(2, request)
    case .deleteRange(let request): ProtoSize.messageField(3, request)
    case .transaction(let request): ProtoSize.messageField(4, request)
    }
  }
}

/// Nesting is bounded by `ProtoReader.depthMax`: each nested transaction is two levels of messages, so 49 fit
/// below a client's outermost one. etcd's bound is Go's 10,000 levels; no client nests more than a few.
extension TransactionRequest: WireMessage {
  public mutating func merge(from reader: inout ProtoReader) throws(ProtoError) {
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(1):
        var comparison = Compare()
        try comparison.mergeField(&reader)
        compare.append(comparison)
      case .length(2):
        var operation = RequestOperation.none
        try operation.mergeField(&reader)
        success.append(operation)
      case .length(3):
        var operation = RequestOperation.none
        try operation.mergeField(&reader)
        failure.append(operation)
      default: try reader.skip(tag)
      }
    }
  }

  public func encode(into writer: inout ProtoWriter) {
    for comparison in compare { writer.messageField(1, comparison) }
    for operation in success { writer.messageField(2, operation) }
    for operation in failure { writer.messageField(3, operation) }
  }

  public var encodedSize: Int {
    var size = 0
    for comparison in compare { size += ProtoSize.messageField(1, comparison) }
    for operation in success { size += ProtoSize.messageField(2, operation) }
    for operation in failure { size += ProtoSize.messageField(3, operation) }
    return size
  }
}
