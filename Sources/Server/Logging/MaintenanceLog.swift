internal import Frontend
internal import Node
internal import Replica
internal import Store

/// The log lines of what a member does by itself, in etcd's words.
enum MaintenanceLog {
  static func record(_ event: AutoCompaction.Event, _ policy: AutoCompactionPolicy) -> LogRecord {
    let mode: String
    let keeps: (String, LogValue)
    switch policy {
    case .periodic(let period):
      mode = "periodic"
      keeps = ("compact-period", .duration(.milliseconds(Int64(clamping: period))))
    case .revision(let retention):
      mode = "revision"
      keeps = ("revision-compaction-retention", .integer(retention))
    }
    switch event {
    case .start(let revision):
      var fields: LogFields = ["revision": .integer(revision)]
      fields.append(keeps.0, keeps.1)
      return LogRecord(.info, "starting auto \(mode) compaction", fields)
    case .completed(let revision, let milliseconds):
      var fields: LogFields = ["revision": .integer(revision)]
      fields.append(keeps.0, keeps.1)
      fields.append("took", .duration(.milliseconds(Int64(clamping: milliseconds))))
      return LogRecord(.info, "completed auto \(mode) compaction", fields)
    case .failed(let revision, let milliseconds):
      var fields: LogFields = ["revision": .integer(revision)]
      fields.append(keeps.0, keeps.1)
      fields.append("retry-interval", .duration(.milliseconds(Int64(clamping: milliseconds))))
      return LogRecord(.warn, "failed auto \(mode) compaction", fields)
    }
  }

  /// Names entries by their index in the log, not by their content: keys are not logged.
  static func slowApply(_ took: UInt64, index: UInt64, expected: GoDuration) -> LogRecord {
    LogRecord(
      .warn, "apply request took too long",
      [
        "took": .duration(GoDuration(nanoseconds: Int64(clamping: took))),
        "expected-duration": .duration(expected),
        "prefix": "",
        "request": .text("entry \(index)"),
        "response": "",
      ])
  }

  /// `members` are those named by the alarm, `digests` what each said of the same index: an id, revision, compacted
  /// revision and set-hash.
  static func diverged(_ divergence: Divergence) -> LogRecord {
    let digests = divergence.digests.map { said in
      let digest = said.digest
      return "\(ClusterIdentity.hexadecimal(said.member)): revision \(digest.revision), "
        + "compacted \(digest.compactRevision), hash \(digest.hash)"
    }
    return LogRecord(
      .error, "members hold different data",
      [
        "applied-index": .unsigned(divergence.index),
        "members": .list(divergence.differing.map(ClusterIdentity.hexadecimal)), "digests": .list(digests),
      ])
  }

  /// etcd's line with etcd's -1 for what is not known. The request itself is left out: it holds keys.
  static func slowCall(_ call: SlowCall, now: LogTimestamp) -> LogRecord {
    let spent = GoDuration(nanoseconds: call.nanoseconds)
    return LogRecord(
      .warn, "request stats",
      [
        "start time": .text(
          LogTimestamp(milliseconds: now.milliseconds - spent.nanoseconds / 1_000_000).text),
        "time spent": .duration(spent), "remote": .text(call.remote), "response type": .text(call.path),
        "request count": -1, "request size": -1, "response count": -1,
        "response size": .integer(Int64(call.responseBytes)), "request content": "",
      ])
  }
}
