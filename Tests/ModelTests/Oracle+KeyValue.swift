import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf

extension KeyValue: Oracled {
  init(_ oracle: Mvccpb_KeyValue) {
    self.init(
      key: [UInt8](oracle.key), createRevision: oracle.createRevision, modRevision: oracle.modRevision,
      version: oracle.version, value: [UInt8](oracle.value), lease: oracle.lease)
  }

  var oracle: Mvccpb_KeyValue {
    .with {
      $0.key = Data(key)
      $0.createRevision = createRevision
      $0.modRevision = modRevision
      $0.version = version
      $0.value = Data(value)
      $0.lease = lease
    }
  }

  static func random(_ random: inout RandomValues) -> KeyValue {
    KeyValue(
      key: random.bytes(), createRevision: random.int64(), modRevision: random.int64(),
      version: random.int64(), value: random.bytes(), lease: random.int64())
  }
}

extension Event: Oracled {
  init(_ oracle: Mvccpb_Event) {
    self.init(
      kind: Kind(rawValue: oracle.type.raw) ?? .put, keyValue: KeyValue(oracle.kv),
      previous: oracle.hasPrevKv ? KeyValue(oracle.prevKv) : nil)
  }

  var oracle: Mvccpb_Event {
    .with {
      $0.type = .init(raw: kind.rawValue)
      $0.kv = keyValue.oracle
      if let previous { $0.prevKv = previous.oracle }
    }
  }

  static func random(_ random: inout RandomValues) -> Event {
    Event(
      kind: random.bool() ? .put : .delete, keyValue: KeyValue.random(&random),
      previous: random.bool() ? KeyValue.random(&random) : nil)
  }
}

extension ResponseHeader: Oracled {
  init(_ oracle: Etcdserverpb_ResponseHeader) {
    self.init(
      clusterID: oracle.clusterID, memberID: oracle.memberID, revision: oracle.revision,
      raftTerm: oracle.raftTerm)
  }

  var oracle: Etcdserverpb_ResponseHeader {
    .with {
      $0.clusterID = clusterID
      $0.memberID = memberID
      $0.revision = revision
      $0.raftTerm = raftTerm
    }
  }

  static func random(_ random: inout RandomValues) -> ResponseHeader {
    ResponseHeader(
      clusterID: random.uint64(), memberID: random.uint64(), revision: random.int64(),
      raftTerm: random.uint64())
  }
}
