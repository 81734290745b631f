internal import Node
internal import Store

/// What came of the store's work between commits: log lines, in etcd's words where it has some, and what the node has to
/// know of it.
enum StoreWork {
  static func follow(_ report: WorkReport, _ logger: Logger, _ tell: (NodeInput) -> Void) {
    if isDamage(report) { tell(.damaged) }
    if case .defragmented = report { tell(.dataFileReplaced) }
    log(report, logger)
  }

  private static func isDamage(_ report: WorkReport) -> Bool {
    switch report {
    case .damaged: return true
    case .defragmentationFailed(let error):
      if case .corrupt = error { return true }
      return false
    case .progressed, .defragmented, .removalFailed, .scrubbed, .scrubFailed: return false
    }
  }

  private static func log(_ report: WorkReport, _ logger: Logger) {
    switch report {
    case .progressed: return
    case .defragmented(let report):
      logger.info(
        "finished defragmenting directory",
        [
          "path": .text(report.path),
          "current-db-size-bytes-diff": .integer(report.bytesAfter - report.bytesBefore),
          "current-db-size-bytes": .integer(report.bytesAfter),
          "took-ms": .integer(Int64(clamping: report.nanoseconds / 1_000_000)),
        ])
    case .defragmentationFailed(let error):
      logger.error("failed to defragment; the member goes on as it was", ["error": .text(error.description)])
    case .scrubbed(let report):
      logger.info(
        "read through the data file",
        [
          "rows": .integer(Int64(report.rows)), "bytes": .integer(report.bytes),
          "damages": .integer(Int64(report.damages)),
          "took-ms": .integer(Int64(clamping: report.nanoseconds / 1_000_000)),
        ])
    case .scrubFailed(let error):
      logger.warn("could not read through the data file", ["error": .text(error.description)])
    case .damaged(let places):
      for place in places {
        logger.error("the data file is damaged", ["error": .text(place.description)])
      }
    case .removalFailed(let error):
      logger.warn("the replaced data file could not be removed", ["error": .text(error.description)])
    }
  }
}
