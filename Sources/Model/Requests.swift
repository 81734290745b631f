/// etcdserverpb.RangeRequest.
public struct RangeRequest: Hashable, Sendable {
  public enum SortOrder: Int32, CaseIterable, Sendable { case none = 0, ascend, descend }
  public enum SortTarget: Int32, CaseIterable, Sendable { case key = 0, version, create, mod, value }

  public var key: [UInt8] = []
  public var rangeEnd: [UInt8] = []
  public var limit: Int64 = 0
  public var revision: Int64 = 0
  /// Raw enum values as they came: a value out of range is a client error, not a parse error.
  public var sortOrder: Int32 = 0
  public var sortTarget: Int32 = 0
  public var serializable = false
  public var keysOnly = false
  public var countOnly = false
  public var minModRevision: Int64 = 0
  public var maxModRevision: Int64 = 0
  public var minCreateRevision: Int64 = 0
  public var maxCreateRevision: Int64 = 0

  public init() {}
  public init(key: [UInt8], rangeEnd: [UInt8] = []) {
    self.key = key
    self.rangeEnd = rangeEnd
  }
}

/// etcdserverpb.PutRequest.
public struct PutRequest: Hashable, Sendable {
  public var key: [UInt8] = []
  public var value: [UInt8] = []
  public var lease: Int64 = 0
  public var previousKeyValue = false
  public var ignoreValue = false
  public var ignoreLease = false

  public init() {}
  public init(key: [UInt8], value: [UInt8]) {
    self.key = key
    self.value = value
  }
}

/// etcdserverpb.DeleteRangeRequest.
public struct DeleteRangeRequest: Hashable, Sendable {
  public var key: [UInt8] = []
  public var rangeEnd: [UInt8] = []
  public var previousKeyValue = false

  public init() {}
  public init(key: [UInt8], rangeEnd: [UInt8] = []) {
    self.key = key
    self.rangeEnd = rangeEnd
  }
}

/// etcdserverpb.Compare.
public struct Compare: Hashable, Sendable {
  public enum Result: Int32, CaseIterable, Sendable { case equal = 0, greater, less, notEqual }
  public enum Target: Int32, CaseIterable, Sendable { case version = 0, create, mod, value, lease }
  /// The value compared with; a missing union compares with zero or empty.
  public enum Operand: Hashable, Sendable {
    case none
    case version(Int64)
    case createRevision(Int64)
    case modRevision(Int64)
    case value([UInt8])
    case lease(Int64)
  }

  /// Raw enum values as they came.
  public var result: Int32 = 0
  public var target: Int32 = 0
  public var key: [UInt8] = []
  public var operand: Operand = .none
  public var rangeEnd: [UInt8] = []

  public init() {}
}

/// etcdserverpb.RequestOp; `.none` is a message without the union.
public enum RequestOperation: Hashable, Sendable {
  case none
  case range(RangeRequest)
  case put(PutRequest)
  case deleteRange(DeleteRangeRequest)
  indirect case transaction(TransactionRequest)
}

/// etcdserverpb.TxnRequest.
public struct TransactionRequest: Hashable, Sendable {
  public var compare: [Compare] = []
  public var success: [RequestOperation] = []
  public var failure: [RequestOperation] = []

  public init() {}
}

/// etcdserverpb.CompactionRequest.
public struct CompactionRequest: Hashable, Sendable {
  public var revision: Int64 = 0
  public var physical = false

  public init() {}
  public init(revision: Int64, physical: Bool = false) {
    self.revision = revision
    self.physical = physical
  }
}
