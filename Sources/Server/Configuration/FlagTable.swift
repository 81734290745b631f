/// Every flag of the API level this server implements, in the order of the help.
public enum FlagTable {
  public static let all: [FlagDefinition] =
    member + clustering + security + auth + monitoring + logging + tracing + features + unsafe + hidden

  public static let byName: [String: FlagDefinition] = Dictionary(
    uniqueKeysWithValues: all.map { ($0.name, $0) })

  private static let member: [FlagDefinition] = [
    .init("name", .text, "default", .member, "Human-readable name of this member."),
    .init("data-dir", .text, "", .member, "Path to the data directory (default ${name}.etcd)."),
    .init("wal-dir", .text, "", .member, "Path to a directory of its own for the write-ahead log."),
    .init(
      "snapshot-count", .unsigned, "10000", .member, .withoutEffect,
      "Applied entries between two snapshots. Here every background commit is one."),
    .init(
      "snapshot-catchup-entries", .unsigned, "5000", .member,
      "Entries kept in the log behind the last background commit for slow followers."),
    .init("heartbeat-interval", .unsigned, "100", .member, "Time (in milliseconds) between heartbeats."),
    .init("election-timeout", .unsigned, "1000", .member, "Time (in milliseconds) until an election starts."),
    .init(
      "initial-election-tick-advance", .boolean, "true", .member, .withoutEffect,
      "Whether the first election after a start comes early."),
    .init(
      "listen-peer-urls", .urls, "http://localhost:2380", .member,
      "URLs to listen on for peer traffic."),
    .init(
      "listen-client-urls", .urls, "http://localhost:2379", .member, "URLs to listen on for client traffic."),
    .init(
      "listen-client-http-urls", .urls, "", .member,
      "URLs to listen on for HTTP-only client traffic."),
    .init(
      "max-snapshots", .unsigned, "5", .member, .withoutEffect,
      "Snapshot files to retain (0 is unlimited). Deprecated; the store itself is the snapshot."),
    .init(
      "max-wals", .unsigned, "5", .member, .withoutEffect,
      "WAL files to retain. The log keeps what recovery and slow followers need."),
    .init(
      "quota-backend-bytes", .integer, "0", .member,
      "Size of the store beyond which NOSPACE is raised (0 means 2 GiB, negative means no limit)."),
    .init(
      "backend-bbolt-freelist-type", .text, "map", .member, .withoutEffect, "Has no meaning for this store."),
    .init("backend-batch-interval", .duration, "0s", .member, "Longest time between background commits."),
    .init(
      "backend-batch-limit", .integer, "0", .member, .withoutEffect,
      "Most operations between background commits; here their bytes count."),
    .init("max-txn-ops", .unsigned, "128", .member, "Most operations permitted in a transaction."),
    .init("max-request-bytes", .unsigned, "1572864", .member, "Largest client request accepted, in bytes."),
    .init(
      "max-concurrent-streams", .unsigned32, "4294967295", .member,
      "Most streams that each client can have open at a time."),
    .init(
      "enable-grpc-gateway", .boolean, "true", .member, "Serve the RPCs as JSON over HTTP below /v3/."),
    .init(
      "grpc-keepalive-min-time", .duration, "5s", .member, "Shortest interval between two pings of a client."),
    .init(
      "grpc-keepalive-interval", .duration, "2h", .member, "Time between pings to a client (0 disables)."),
    .init(
      "grpc-keepalive-timeout", .duration, "20s", .member,
      "Time to wait for the answer to a ping before the connection is closed (0 disables)."),
    .init(
      "socket-reuse-port", .boolean, "false", .member,
      "Set SO_REUSEPORT on listeners: another process may listen on the same port."),
    .init(
      "socket-reuse-address", .boolean, "false", .member, .withoutEffect,
      "Set SO_REUSEADDR on listeners; always on."),
    .init(
      "raft-read-timeout", .duration, "5s", .member, "Read timeout of peer connections; at least 5s."),
    .init(
      "raft-write-timeout", .duration, "5s", .member, "Write timeout of peer connections; at least 5s."),
    .init(
      "memory-mlock", .boolean, "false", .member,
      "Keep pages in RAM once they are there; needs the right to lock memory."),
  ]

  private static let clustering: [FlagDefinition] = [
    .init(
      "initial-advertise-peer-urls", .urls, "http://localhost:2380", .clustering,
      "This member's peer URLs to advertise to the rest of the cluster."),
    .init(
      "initial-cluster", .text, "default=http://localhost:2380", .clustering,
      "Members of the cluster at its first start, as name=url,..."),
    .init(
      "initial-cluster-state", .choice(["new", "existing"], quotesValueInError: false), "new", .clustering,
      "'new' for a new cluster, 'existing' to join one. Ignored on restarts."),
    .init(
      "initial-cluster-token", .text, "etcd-cluster", .clustering,
      "Tells clusters apart: it is hashed into the cluster's and members' ids."),
    .init(
      "advertise-client-urls", .urls, "http://localhost:2379", .clustering,
      "This member's client URLs to advertise to the public."),
    .init(
      "discovery-fallback", .choice(["exit", "proxy"], quotesValueInError: false), "exit", .clustering,
      .withoutEffect, "What to do when discovery fails; only 'exit' is valid."),
    .init("discovery-token", .text, "", .clustering, .notBuilt("discovery"), "Discovery token."),
    .init("discovery-endpoints", .names, "", .clustering, .notBuilt("discovery"), "Discovery endpoints."),
    .init(
      "discovery-srv", .text, "", .clustering, .notBuilt("discovery"), "DNS SRV domain to bootstrap from."),
    .init("discovery-srv-name", .text, "", .clustering, .notBuilt("discovery"), "Suffix of the SRV name."),
    .init(
      "strict-reconfig-check", .boolean, "true", .clustering,
      "Reject reconfigurations that would lose the quorum."),
    .init("pre-vote", .boolean, "true", .clustering, "Run an additional election phase."),
    .init(
      "auto-compaction-retention", .text, "0", .clustering,
      "Automatic compaction: hours, a duration or revisions of history to keep. 0 disables it."),
    .init(
      "auto-compaction-mode", .text, "periodic", .clustering,
      "'periodic' or 'revision': what the retention counts."),
    .init(
      "v2-deprecation",
      .choice(
        ["write-only", "write-only-skip-check", "write-only-drop-data", "gone"], quotesValueInError: true),
      "write-only", .clustering, .withoutEffect, "Deprecated and without effect."),
    .init(
      "max-learners", .integer, "1", .clustering, "Most learners at a time."),
  ]
}
