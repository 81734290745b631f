internal import Replica

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
}
