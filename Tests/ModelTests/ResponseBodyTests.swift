import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf
import Testing

/// The pieces of response bodies against the generated response messages.
@Suite struct ResponseBodyTests {
  @Test func range() throws {
    var random = RandomValues(seed: 11)
    for _ in 0..<500 {
      let rows = random.list(upTo: 4) { KeyValue.random(&$0) }
      let more = random.bool()
      let count = random.int64()
      var writer = ProtoWriter()
      for row in rows { row.encoded().withUnsafeBytes { writer.appendRangeKeyValue($0) } }
      writer.appendRangeEnd(more: more, count: count)
      let expected = Etcdserverpb_RangeResponse.with {
        $0.kvs = rows.map(\.oracle)
        $0.more = more
        $0.count = count
      }
      #expect(try writer.bytes == expected.serializedBytes())
    }
  }

  @Test func rangeOfKeysOnly() throws {
    var random = RandomValues(seed: 12)
    for _ in 0..<500 {
      var row = KeyValue.random(&random)
      let bytes = row.encoded()
      row.value = []
      var writer = ProtoWriter()
      try bytes.withUnsafeBytes { buffer in
        var view = try KeyValueView(decoding: buffer)
        view.value = UnsafeRawBufferPointer(start: nil, count: 0)
        writer.appendRangeKeyValue(view)
      }
      #expect(try writer.bytes == Etcdserverpb_RangeResponse.with { $0.kvs = [row.oracle] }.serializedBytes())
    }
  }

  @Test func aViewHasTheFieldsOfItsKeyValue() throws {
    var random = RandomValues(seed: 13)
    for _ in 0..<2_000 {
      let row = KeyValue.random(&random)
      let bytes = row.encoded()
      try bytes.withUnsafeBytes { buffer in
        let view = try KeyValueView(decoding: buffer)
        #expect([UInt8](view.key) == row.key)
        #expect([UInt8](view.value) == row.value)
        #expect(view.createRevision == row.createRevision)
        #expect(view.modRevision == row.modRevision)
        #expect(view.version == row.version)
        #expect(view.lease == row.lease)
        #expect(view.encodedSize == bytes.count)
        var writer = ProtoWriter()
        view.encode(into: &writer)
        #expect(writer.bytes == bytes)
      }
    }
  }

  @Test func put() throws {
    let previous = KeyValue(key: [1], createRevision: 2, modRevision: 3, version: 2, value: [4])
    var writer = ProtoWriter()
    previous.encoded().withUnsafeBytes { writer.appendPutPrevious($0) }
    #expect(
      try writer.bytes == Etcdserverpb_PutResponse.with { $0.prevKv = previous.oracle }.serializedBytes())
  }

  @Test func deleteRange() throws {
    var random = RandomValues(seed: 14)
    for _ in 0..<500 {
      let rows = random.list(upTo: 3) { KeyValue.random(&$0) }
      var writer = ProtoWriter()
      writer.appendDeleted(Int64(rows.count))
      for row in rows { row.encoded().withUnsafeBytes { writer.appendDeletePrevious($0) } }
      let expected = Etcdserverpb_DeleteRangeResponse.with {
        $0.deleted = Int64(rows.count)
        $0.prevKvs = rows.map(\.oracle)
      }
      #expect(try writer.bytes == expected.serializedBytes())
    }
  }

  /// A transaction with one response of each kind, the nested one holding a large range.
  @Test(arguments: [0, 10, 127, 20_000])
  func transaction(_ valueSize: Int) throws {
    let row = KeyValue(
      key: [1, 2], createRevision: 5, modRevision: 6, version: 7,
      value: [UInt8](repeating: 9, count: valueSize))
    let encodedRow = row.encoded()
    var writer = ProtoWriter()
    writer.appendSucceeded(true)
    writer.appendOperationResponse(.put, headerRevision: 9, body: [])
    writer.appendEmptyOperationResponse()
    let nested = writer.beginOperationResponse(.transaction, headerRevision: 9)
    writer.appendSucceeded(false)
    let range = writer.beginOperationResponse(.range, headerRevision: 9)
    encodedRow.withUnsafeBytes { writer.appendRangeKeyValue($0) }
    writer.appendRangeEnd(more: false, count: 1)
    writer.endOperationResponse(range)
    writer.endOperationResponse(nested)
    let deletion = writer.beginOperationResponse(.deleteRange, headerRevision: 0)
    writer.appendDeleted(3)
    writer.endOperationResponse(deletion)

    var response = ProtoWriter()
    response.appendResponse(
      ResponseHeader(clusterID: 1, memberID: 2, revision: 9, raftTerm: 4), body: writer.bytes)

    let header = Etcdserverpb_ResponseHeader.with { $0.revision = 9 }
    let expectedRange = Etcdserverpb_RangeResponse.with {
      $0.header = header
      $0.kvs = [row.oracle]
      $0.count = 1
    }
    let expectedNested = Etcdserverpb_TxnResponse.with {
      $0.header = header
      $0.responses = [.with { $0.responseRange = expectedRange }]
    }
    let expected = Etcdserverpb_TxnResponse.with {
      $0.header = .with {
        $0.clusterID = 1
        $0.memberID = 2
        $0.revision = 9
        $0.raftTerm = 4
      }
      $0.succeeded = true
      $0.responses = [
        .with { $0.responsePut.header = header },
        .init(),
        .with { $0.responseTxn = expectedNested },
        .with {
          $0.responseDeleteRange.header = .init()
          $0.responseDeleteRange.deleted = 3
        },
      ]
    }
    #expect(try response.bytes == expected.serializedBytes())
  }
}
