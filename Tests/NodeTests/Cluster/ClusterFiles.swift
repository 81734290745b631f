import Disk
import Foundation
import Model
import Node
import Primitives
import Raft
import Replica
import Store
import Synchronization

/// The files of one member of a simulated cluster, which outlive its crashes: log and snapshots on a simulated disk, the
/// store in a real LMDB file, whose switch is as atomic as that of `CURRENT`.
final class ClusterFiles: Sendable {
  static let clusterID: UInt64 = 0xc1

  let memberID: UInt64
  let disk: SimulatedDisk
  let directory: String
  private let generation = Mutex<Int>(1)

  init(memberID: UInt64, seed: UInt64) throws {
    self.memberID = memberID
    disk = SimulatedDisk(seed: seed &* 1_000_003 &+ memberID)
    // LMDB syncs for real; in memory that costs nothing.
    let base = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    directory = "\(base)/cairn-cluster-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try disk.createDirectories("/data/snap")
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  func storePath(_ generation: Int) -> String { "\(directory)/store-\(generation)" }
  var storePath: String { storePath(generation.withLock { $0 }) }

  var place: SnapshotPlace {
    SnapshotPlace(disk: disk, directory: "/data/snap") { [self] in
      let next = generation.withLock { $0 } + 1
      return DefragmentPlan(disk: PosixDisk(), path: storePath(next)) { () throws(AdoptionError) in
        self.generation.withLock { $0 = next }
      }
    }
  }

  /// What a start removes: data files that are not in use.
  func removeStrays() {
    let current = (storePath as NSString).lastPathComponent
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    where !name.hasPrefix(current) {
      try? FileManager.default.removeItem(atPath: "\(directory)/\(name)")
    }
  }

  var member: Member {
    Member(id: memberID, peerURLs: ["http://127.0.0.1:\(2_000 + memberID)"], name: "m\(memberID)")
  }
}

/// A running member of a simulated cluster: what a crash takes away.
final class ClusterNode {
  var opened: OpenedNode
  let store: Store
  private(set) var outputs = NodeOutputs()

  init(
    _ files: ClusterFiles, options: NodeOptions, storeOptions: StoreOptions, initialMembers: [Member],
    saltSeed: UInt32, now: UInt64
  ) throws {
    files.removeStrays()
    let identity = StoreIdentity(clusterID: ClusterFiles.clusterID, memberID: files.memberID)
    store = try Store.open(path: files.storePath, options: storeOptions, identity: identity)
    opened = try Node.open(
      options: options, store: store, disk: files.disk, logDirectory: "/data/wal",
      initialMembers: initialMembers, saltSeed: saltSeed, now: now)
  }

  /// Runs a batch; what it answered before an error is in `outputs` all the same.
  func process(_ inputs: [NodeInput], now: UInt64) throws -> NodeOutputs {
    outputs.removeAll()
    try opened.node.process(inputs, now: now, &outputs)
    return outputs
  }

  func stop() throws -> NodeOutputs {
    outputs.removeAll()
    try opened.node.stop(&outputs)
    return outputs
  }
}
