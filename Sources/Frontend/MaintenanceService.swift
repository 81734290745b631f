import EtcdAPI
import Metrics
import Model
import NIOCore
import Primitives
import Store
import SwiftProtobuf
import Synchronization
import Wire

extension LoopFrontend {
  func status(_ call: RPCCall) {
    do throws(StoreError) {
      let gauge = context.gauge
      let sizes = try context.store.sizes()
      var response = Etcdserverpb_StatusResponse()
      response.header = header(revision: try view().revision)
      response.version = FrontendContext.apiVersion
      response.storageVersion = FrontendContext.clusterVersion
      response.dbSize = sizes.databaseBytes
      response.dbSizeInUse = sizes.databaseInUseBytes
      response.dbSizeQuota = context.quotaBytes ?? 0
      response.leader = gauge.leader.load(ordering: .relaxed)
      response.raftIndex = gauge.lastIndex.load(ordering: .relaxed)
      response.raftTerm = term
      response.isLearner = isLearner
      response.raftAppliedIndex = gauge.appliedIndex.load(ordering: .relaxed)
      let downgrade = try view().downgradeInfo()
      response.downgradeInfo.enabled = downgrade.enabled
      response.downgradeInfo.targetVersion = downgrade.version
      if response.leader == 0 { response.errors.append(ClientError.noLeader.message) }
      response.errors += try view().alarms().members.map(\.description)
      respond(call, response)
    } catch {
      fail(call, error)
    }
  }

  /// Rows that a hash visits before its thread is given up to other work.
  private static let hashRowsPerStep = 100_000

  func hash(_ call: RPCCall) {
    let durations = context.metrics.hashes
    serveLong(call) { (view, builder, term) throws(StoreError) in
      let began = NIODeadline.now()
      let hash = try Self.finish(KeyValueHash.startOfWhole(in: view))
      durations.observeShared(since: began)
      var writer = builder.begin(revision: view.revision, term: term, reserving: 8)
      writer.uint64(2, UInt64(hash))
      return .success(writer.bytes)
    }
  }

  func hashKV(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_HashKVRequest.self, call, message) else { return }
    let durations = context.metrics.revisionHashes
    serveLong(call) { (view, builder, term) throws(StoreError) in
      let began = NIODeadline.now()
      switch try KeyValueHash.start(request.revision, in: view) {
      case .failure(let error): return .failure(error)
      case .success(let cursor):
        let hash = try Self.finish(cursor)
        durations.observeShared(since: began)
        var writer = builder.begin(revision: cursor.headerRevision, term: term, reserving: 32)
        writer.uint64(2, UInt64(hash))
        writer.int64(3, cursor.compactRevision)
        writer.int64(4, cursor.hashRevision)
        return .success(writer.bytes)
      }
    }
  }

  private static func finish(_ start: KeyValueHash) throws(StoreError) -> UInt32 {
    var cursor = start
    while true {
      if case .done(let hash) = try cursor.advance(rows: hashRowsPerStep) { return hash }
    }
  }
}
