import Disk
import Foundation
import Model
import Node
import Primitives
import Raft
import Replica
import Store
import WriteAheadLog

/// A member's files, which outlive its crashes: the log on a simulated disk, the store in a real LMDB file.
final class SimulatedFiles {
  static let clusterID: UInt64 = 0xc1
  static let memberID: UInt64 = 0x0a0b

  let disk: SimulatedDisk
  let directory: String
  let logDirectory = "/data/wal"

  init(seed: UInt64) throws {
    disk = SimulatedDisk(seed: seed)
    // LMDB syncs for real; in memory that costs nothing.
    let base = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    directory = "\(base)/cairn-node-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  var storePath: String { "\(directory)/store" }

  static var member: Member { Member(id: memberID, peerURLs: ["http://127.0.0.1:2380"], name: "sim") }

  /// The log as a start would find it, read from a copy of the disk; nil if there is none yet.
  func readLog() throws -> RecoveredLog? {
    let copy = disk.copy()
    // The copy is free of locks and of faults that were planned.
    var random = SeededRandom(seed: 0)
    copy.crash(.keepEverything, random: &random)
    guard try copy.exists(logDirectory), try copy.list(logDirectory).contains(where: { $0.hasSuffix(".wal") })
    else {
      return nil
    }
    return try WriteAheadLog.open(
      disk: copy, directory: logDirectory,
      identity: LogIdentity(clusterID: Self.clusterID, memberID: Self.memberID),
      options: LogOptions(absence: .refuse, saltSeed: 0)
    ).recovered
  }
}

/// A running member: what a crash takes away.
final class RunningNode {
  var opened: OpenedNode
  let store: Store
  private(set) var outputs = NodeOutputs()

  init(
    _ files: SimulatedFiles, options: NodeOptions, storeOptions: StoreOptions, saltSeed: UInt32, now: UInt64
  ) throws {
    let identity = StoreIdentity(clusterID: SimulatedFiles.clusterID, memberID: SimulatedFiles.memberID)
    store = try Store.open(path: files.storePath, options: storeOptions, identity: identity)
    opened = try Node.open(
      options: options, store: store, disk: files.disk, logDirectory: files.logDirectory,
      initialMembers: [SimulatedFiles.member], saltSeed: saltSeed, now: now)
  }

  /// Runs a batch; what it answered before an error is in `outputs` all the same.
  func process(_ inputs: [NodeInput], now: UInt64) throws -> NodeOutputs {
    outputs.removeAll()
    try opened.node.process(inputs, now: now, &outputs)
    return outputs
  }

  /// Runs a batch, and does the log's file work at once.
  func drive(_ inputs: [NodeInput]) throws -> NodeOutputs {
    let outputs = try process(inputs, now: 0)
    for case .prepareLog(let preparation) in outputs.notices {
      _ = try process([.logPrepared(preparation.run())], now: 0)
    }
    return outputs
  }

  /// Moves everything applied into LMDB.
  func commit() throws {
    repeat {
      while let report = try opened.committer.commitNext() { _ = try drive([.committed(report)]) }
      _ = try opened.node.freeze()
    } while try opened.committer.hasWork
  }

  func stop() throws -> NodeOutputs {
    outputs.removeAll()
    try opened.node.stop(&outputs)
    return outputs
  }
}
