internal import Frontend
internal import Metrics
internal import Store
internal import Synchronization

extension MemberMetrics {
  /// What the state holds. Values that cannot be read are left out rather than shown as nothing.
  func storeFamilies() -> [MetricFamily] {
    var families: [MetricFamily] = []
    if let sizes = try? store.sizes() {
      families += [
        .gauge(
          "etcd_mvcc_db_total_size_in_bytes",
          "Total size of the underlying database physically allocated in bytes.",
          Double(sizes.databaseBytes)),
        .gauge(
          "etcd_mvcc_db_total_size_in_use_in_bytes",
          "Total size of the underlying database logically in use in bytes.",
          Double(sizes.databaseInUseBytes)),
        .gauge(
          "etcd_mvcc_db_open_read_transactions", "The number of currently open read transactions",
          Double(sizes.readersInUse)),
      ]
    }
    if let view = try? store.view() {
      defer { view.end() }
      families += [
        .gauge(
          "etcd_debugging_mvcc_current_revision", "The current revision of store.", Double(view.revision)),
        .gauge(
          "etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.",
          Double(view.compactRevision)),
      ]
    }
    if let live = keys.live(apply) {
      families.append(.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", Double(live)))
    }
    return families
  }

  /// What was done to it.
  func mvccFamilies(_ figures: [LoopFigures]) -> [MetricFamily] {
    let ranges = sum(loops.map { $0.ranges.value }) + services.ranges.value + apply.ranges.value
    let transactions = services.transactions.value + apply.transactions.value
    return [
      .counter("etcd_mvcc_range_total", "Total number of ranges seen by this member.", ranges),
      .counter("etcd_mvcc_put_total", "Total number of puts seen by this member.", apply.puts.value),
      .counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", apply.deletes.value),
      .counter("etcd_mvcc_txn_total", "Total number of txns seen by this member.", transactions),
      .gauge(
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "The total size of put kv pairs seen by this member.", Double(apply.putBytes.value)),
      .counter(
        "etcd_debugging_mvcc_events_total", "Total number of events sent by this member.",
        sum(loops.map { $0.events.value })),
      .gauge(
        "etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.",
        Double(figures.reduce(0) { $0 + $1.watchStreams })),
      .gauge(
        "etcd_debugging_mvcc_watcher_total", "Total number of watchers.",
        Double(figures.reduce(0) { $0 + $1.watchers })),
      .gauge(
        "etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.",
        Double(figures.reduce(0) { $0 + $1.laggingWatchers })),
      .histogram(
        "etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation.",
        services.hashes.reading),
      .histogram(
        "etcd_mvcc_hash_rev_duration_seconds",
        "The latency distribution of storage hash by revision operation.", services.revisionHashes.reading),
      rangeDurations(),
    ]
  }

  private func rangeDurations() -> MetricFamily {
    var family = MetricFamily(
      "etcd_server_range_duration_seconds", .histogram, "The latency distributions of txn.Range")
    let succeeded = sum(services.succeededRanges.reading, loops.map(\.succeededRanges))
    let failed = sum(services.failedRanges.reading, loops.map(\.failedRanges))
    if failed.count > 0 { family.add([("success", "false")], failed) }
    if succeeded.count > 0 { family.add([("success", "true")], succeeded) }
    return family
  }

  /// Files: the log, the commits and what is done beside them.
  func diskFamilies() -> [MetricFamily] {
    [
      .histogram(
        "etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.",
        log.syncs.reading),
      .histogram(
        "etcd_disk_wal_write_duration_seconds", "The latency distributions of write called by WAL.",
        log.writes.reading),
      .gauge(
        "etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.",
        Double(log.writtenBytes.value)),
      .histogram(
        "etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend.",
        commits.commits.reading),
      .histogram(
        "etcd_disk_backend_defrag_duration_seconds",
        "The latency distribution of backend defragmentation.", commits.defragmentations.reading),
      .gauge(
        "etcd_disk_defrag_inflight",
        "Whether or not defrag is active on the member. 1 means active, 0 means not.",
        Double(commits.defragmenting.value)),
      .histogram(
        "etcd_disk_backend_snapshot_duration_seconds", "The latency distribution of backend snapshots.",
        services.snapshots.reading),
      .counter(
        "etcd_debugging_mvcc_db_compaction_keys_total", "Total number of db keys compacted.",
        commits.compactedKeys.value),
      .gauge(
        "etcd_debugging_mvcc_db_compaction_last",
        "The unix time of the last db compaction. Resets to 0 on start.",
        Double(commits.lastCompaction.value)),
      .histogram(
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        "Bucketed histogram of db compaction pause duration.", commits.compactionPauses.reading),
      .histogram(
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
        "Bucketed histogram of db compaction total duration.", commits.compactions.reading),
    ]
  }
}
