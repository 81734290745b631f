import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf

extension SwiftProtobuf.Enum where RawValue == Int {
  init(raw: Int32) { self = Self(rawValue: Int(raw)) ?? Self() }
  var raw: Int32 { Int32(truncatingIfNeeded: rawValue) }
}

extension RangeRequest: Oracled {
  init(_ oracle: Etcdserverpb_RangeRequest) {
    self.init(key: [UInt8](oracle.key), rangeEnd: [UInt8](oracle.rangeEnd))
    limit = oracle.limit
    revision = oracle.revision
    sortOrder = oracle.sortOrder.raw
    sortTarget = oracle.sortTarget.raw
    serializable = oracle.serializable
    keysOnly = oracle.keysOnly
    countOnly = oracle.countOnly
    minModRevision = oracle.minModRevision
    maxModRevision = oracle.maxModRevision
    minCreateRevision = oracle.minCreateRevision
    maxCreateRevision = oracle.maxCreateRevision
  }

  var oracle: Etcdserverpb_RangeRequest {
    .with {
      $0.key = Data(key)
      $0.rangeEnd = Data(rangeEnd)
      $0.limit = limit
      $0.revision = revision
      $0.sortOrder = .init(raw: sortOrder)
      $0.sortTarget = .init(raw: sortTarget)
      $0.serializable = serializable
      $0.keysOnly = keysOnly
      $0.countOnly = countOnly
      $0.minModRevision = minModRevision
      $0.maxModRevision = maxModRevision
      $0.minCreateRevision = minCreateRevision
      $0.maxCreateRevision = maxCreateRevision
    }
  }

  static func random(_ random: inout RandomValues) -> RangeRequest {
    var request = RangeRequest(key: random.bytes(), rangeEnd: random.bytes())
    request.limit = random.int64()
    request.revision = random.int64()
    request.sortOrder = random.enumValue(3)
    request.sortTarget = random.enumValue(5)
    request.serializable = random.bool()
    request.keysOnly = random.bool()
    request.countOnly = random.bool()
    request.minModRevision = random.int64()
    request.maxModRevision = random.int64()
    request.minCreateRevision = random.int64()
    request.maxCreateRevision = random.int64()
    return request
  }
}

extension PutRequest: Oracled {
  init(_ oracle: Etcdserverpb_PutRequest) {
    self.init(key: [UInt8](oracle.key), value: [UInt8](oracle.value))
    lease = oracle.lease
    previousKeyValue = oracle.prevKv
    ignoreValue = oracle.ignoreValue
    ignoreLease = oracle.ignoreLease
  }

  var oracle: Etcdserverpb_PutRequest {
    .with {
      $0.key = Data(key)
      $0.value = Data(value)
      $0.lease = lease
      $0.prevKv = previousKeyValue
      $0.ignoreValue = ignoreValue
      $0.ignoreLease = ignoreLease
    }
  }

  static func random(_ random: inout RandomValues) -> PutRequest {
    var request = PutRequest(key: random.bytes(), value: random.bytes())
    request.lease = random.int64()
    request.previousKeyValue = random.bool()
    request.ignoreValue = random.bool()
    request.ignoreLease = random.bool()
    return request
  }
}

extension DeleteRangeRequest: Oracled {
  init(_ oracle: Etcdserverpb_DeleteRangeRequest) {
    self.init(key: [UInt8](oracle.key), rangeEnd: [UInt8](oracle.rangeEnd))
    previousKeyValue = oracle.prevKv
  }

  var oracle: Etcdserverpb_DeleteRangeRequest {
    .with {
      $0.key = Data(key)
      $0.rangeEnd = Data(rangeEnd)
      $0.prevKv = previousKeyValue
    }
  }

  static func random(_ random: inout RandomValues) -> DeleteRangeRequest {
    var request = DeleteRangeRequest(key: random.bytes(), rangeEnd: random.bytes())
    request.previousKeyValue = random.bool()
    return request
  }
}

extension CompactionRequest: Oracled {
  init(_ oracle: Etcdserverpb_CompactionRequest) {
    self.init(revision: oracle.revision, physical: oracle.physical)
  }

  var oracle: Etcdserverpb_CompactionRequest {
    .with {
      $0.revision = revision
      $0.physical = physical
    }
  }

  static func random(_ random: inout RandomValues) -> CompactionRequest {
    CompactionRequest(revision: random.int64(), physical: random.bool())
  }
}

extension Compare: Oracled {
  init(_ oracle: Etcdserverpb_Compare) {
    self.init()
    result = oracle.result.raw
    target = oracle.target.raw
    key = [UInt8](oracle.key)
    rangeEnd = [UInt8](oracle.rangeEnd)
    operand =
      switch oracle.targetUnion {
      case nil: .none
      case .version(let value): .version(value)
      case .createRevision(let value): .createRevision(value)
      case .modRevision(let value): .modRevision(value)
      case .value(let value): .value([UInt8](value))
      case .lease(let value): .lease(value)
      }
  }

  var oracle: Etcdserverpb_Compare {
    .with {
      $0.result = .init(raw: result)
      $0.target = .init(raw: target)
      $0.key = Data(key)
      $0.rangeEnd = Data(rangeEnd)
      $0.targetUnion =
        switch operand {
        case .none: nil
        case .version(let value): .version(value)
        case .createRevision(let value): .createRevision(value)
        case .modRevision(let value): .modRevision(value)
        case .value(let value): .value(Data(value))
        case .lease(let value): .lease(value)
        }
    }
  }

  static func random(_ random: inout RandomValues) -> Compare {
    var compare = Compare()
    compare.result = random.enumValue(4)
    compare.target = random.enumValue(5)
    compare.key = random.bytes()
    compare.rangeEnd = random.bytes()
    switch random.below(6) {
    case 0: compare.operand = .none
    case 1: compare.operand = .version(random.int64())
    case 2: compare.operand = .createRevision(random.int64())
    case 3: compare.operand = .modRevision(random.int64())
    case 4: compare.operand = .value(random.bytes())
    default: compare.operand = .lease(random.int64())
    }
    return compare
  }
}

extension RequestOperation: Oracled {
  init(_ oracle: Etcdserverpb_RequestOp) {
    self =
      switch oracle.request {
      case nil: .none
      case .requestRange(let request): .range(RangeRequest(request))
      case .requestPut(let request): .put(PutRequest(request))
      case .requestDeleteRange(let request): .deleteRange(DeleteRangeRequest(request))
      case .requestTxn(let request): .transaction(TransactionRequest(request))
      }
  }

  var oracle: Etcdserverpb_RequestOp {
    .with {
      $0.request =
        switch self {
        case .none: nil
        case .range(let request): .requestRange(request.oracle)
        case .put(let request): .requestPut(request.oracle)
        case .deleteRange(let request): .requestDeleteRange(request.oracle)
        case .transaction(let request): .requestTxn(request.oracle)
        }
    }
  }

  static func random(_ random: inout RandomValues) -> RequestOperation {
    Self.random(&random, depth: 3)
  }

  static func random(_ random: inout RandomValues, depth: Int) -> RequestOperation {
    switch random.below(depth > 0 ? 7 : 6) {
    case 0: .none
    case 1, 2: .range(RangeRequest.random(&random))
    case 3, 4: .put(PutRequest.random(&random))
    case 5: .deleteRange(DeleteRangeRequest.random(&random))
    default: .transaction(TransactionRequest.random(&random, depth: depth - 1))
    }
  }
}

extension TransactionRequest: Oracled {
  init(_ oracle: Etcdserverpb_TxnRequest) {
    self.init()
    compare = oracle.compare.map { Compare($0) }
    success = oracle.success.map { RequestOperation($0) }
    failure = oracle.failure.map { RequestOperation($0) }
  }

  var oracle: Etcdserverpb_TxnRequest {
    .with {
      $0.compare = compare.map(\.oracle)
      $0.success = success.map(\.oracle)
      $0.failure = failure.map(\.oracle)
    }
  }

  static func random(_ random: inout RandomValues) -> TransactionRequest {
    Self.random(&random, depth: 3)
  }

  static func random(_ random: inout RandomValues, depth: Int) -> TransactionRequest {
    var request = TransactionRequest()
    request.compare = random.list(upTo: 2) { Compare.random(&$0) }
    request.success = random.list(upTo: 3) { RequestOperation.random(&$0, depth: depth) }
    request.failure = random.list(upTo: 2) { RequestOperation.random(&$0, depth: depth) }
    return request
  }
}
