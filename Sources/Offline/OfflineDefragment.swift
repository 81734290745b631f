public import Disk
internal import Node
internal import Store

/// What a defragmentation did, in bytes of pages that hold or held data.
public struct DefragmentSummary: Hashable, Sendable {
  public var bytesBefore: Int64
  public var bytesAfter: Int64
}

/// Packs the data file of a stopped member.
public enum OfflineDefragment {
  /// The new file is durable and in use when this returns; after an error or a crash on the way the old one is.
  public static func run(
    _ place: MemberPlace, disk: any Disk, report: @escaping ProgressReport
  ) throws(OfflineError) -> DefragmentSummary {
    let member = try OfflineMember(place, disk: disk)
    let plan = member.directory.defragmentPlan(disk: disk)
    return try onStore { () throws(StoreError) in
      let total = Int(try member.store.sizes().databaseInUseBytes)
      let committer = try member.store.makeCommitter()
      try committer.startDefragment(plan, now: 0)
      var now: UInt64 = 0
      while true {
        // Time is only there to say when a slice is due: each call is a moment later than all that was planned.
        now += 1_000_000_000
        switch try committer.workNext(now: now) {
        case .progressed, nil:
          let done = Int(clamping: committer.defragmentedBytes)
          report(OfflineProgress(step: "defragment", done: min(done, total), total: total))
        case .defragmented(let result):
          // What is left is the removal of the old file, in parts.
          while case .progressed? = try committer.workNext(now: now) { now += 1_000_000_000 }
          return DefragmentSummary(bytesBefore: result.bytesBefore, bytesAfter: result.bytesAfter)
        case .defragmentationFailed(let error), .removalFailed(let error), .scrubFailed(let error):
          throw error
        case .damaged(let errors):
          throw errors[0]
        case .scrubbed: continue
        }
      }
    }
  }
}
