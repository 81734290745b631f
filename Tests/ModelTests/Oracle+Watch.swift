import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf

extension WatchCreateRequest: Oracled {
  init(_ oracle: Etcdserverpb_WatchCreateRequest) {
    self.init()
    key = [UInt8](oracle.key)
    rangeEnd = [UInt8](oracle.rangeEnd)
    startRevision = oracle.startRevision
    progressNotify = oracle.progressNotify
    filters = oracle.filters.map(\.raw)
    previousKeyValue = oracle.prevKv
    watchID = oracle.watchID
    fragment = oracle.fragment
  }

  var oracle: Etcdserverpb_WatchCreateRequest {
    .with {
      $0.key = Data(key)
      $0.rangeEnd = Data(rangeEnd)
      $0.startRevision = startRevision
      $0.progressNotify = progressNotify
      $0.filters = filters.map { .init(raw: $0) }
      $0.prevKv = previousKeyValue
      $0.watchID = watchID
      $0.fragment = fragment
    }
  }

  static func random(_ random: inout RandomValues) -> WatchCreateRequest {
    var request = WatchCreateRequest()
    request.key = random.bytes()
    request.rangeEnd = random.bytes()
    request.startRevision = random.int64()
    request.progressNotify = random.bool()
    request.filters = random.list(upTo: 3) { $0.enumValue(2) }
    request.previousKeyValue = random.bool()
    request.watchID = random.int64()
    request.fragment = random.bool()
    return request
  }
}

extension WatchRequest: Oracled {
  init(_ oracle: Etcdserverpb_WatchRequest) {
    switch oracle.requestUnion {
    case .createRequest(let request): self = .create(WatchCreateRequest(request))
    case .cancelRequest(let request): self = .cancel(watchID: request.watchID)
    case .progressRequest: self = .progress
    case nil: self = .none
    }
  }

  var oracle: Etcdserverpb_WatchRequest {
    .with {
      switch self {
      case .create(let request): $0.createRequest = request.oracle
      case .cancel(let watchID): $0.cancelRequest = .with { $0.watchID = watchID }
      case .progress: $0.progressRequest = Etcdserverpb_WatchProgressRequest()
      case .none: break
      }
    }
  }

  static func random(_ random: inout RandomValues) -> WatchRequest {
    switch random.below(4) {
    case 0: .none
    case 1: .create(.random(&random))
    case 2: .cancel(watchID: random.int64())
    default: .progress
    }
  }
}
