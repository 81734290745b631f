internal import Frontend
internal import Metrics
internal import Wire

extension MemberMetrics {
  /// gRPC calls, as go-grpc-middleware counts them: every method and code is there from the start.
  func callFamilies(_ figures: [LoopFigures]) -> [MetricFamily] {
    [
      perMethod(
        "grpc_server_started_total", "Total number of RPCs started on the server.", { $0.started.value }),
      perMethod(
        "grpc_server_msg_received_total", "Total number of RPC stream messages received on the server.",
        { $0.received.value }),
      perMethod(
        "grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.",
        { $0.sent.value }),
      handled(), handling(), requestDurations(), clientRequests(figures), streamFailures(),
      .counter(
        "etcd_network_client_grpc_received_bytes_total",
        "The total number of bytes received from grpc clients.", sum(calls.map { $0.receivedBytes.value })),
      .counter(
        "etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.",
        sum(calls.map { $0.sentBytes.value })),
    ]
  }

  private func perMethod(
    _ name: String, _ help: String, _ value: (MethodMetrics) -> UInt64
  ) -> MetricFamily {
    var family = MetricFamily(name, .counter, help)
    for (index, method) in methods.enumerated() {
      family.add(method.labels, Double(sum(calls.map { value($0.methods[index]) })))
    }
    return family
  }

  private func handled() -> MetricFamily {
    var family = MetricFamily(
      "grpc_server_handled_total", .counter,
      "Total number of RPCs completed on the server, regardless of success or failure.")
    for (index, method) in methods.enumerated() {
      for (code, name) in Self.codeNames.enumerated() {
        let count = sum(calls.map { $0.methods[index].ended(code) })
        family.add([("grpc_code", name)] + method.labels, Double(count))
      }
    }
    return family
  }

  private func handling() -> MetricFamily {
    var family = MetricFamily(
      "grpc_server_handling_seconds", .histogram,
      "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server."
    )
    for (index, method) in methods.enumerated() {
      let histograms = calls.compactMap { $0.methods[index].handling }
      guard !histograms.isEmpty else { continue }
      family.add(method.labels, sum(HistogramReading(MethodMetrics.handlingShape), histograms))
    }
    return family
  }

  /// Of calls with one answer; a stream's time is its client's choice.
  private func requestDurations() -> MetricFamily {
    var family = MetricFamily(
      "etcd_server_request_duration_seconds", .histogram,
      "Response latency distribution in seconds for each type.")
    let empty = HistogramReading(MethodMetrics.durationShape)
    for (index, method) in methods.enumerated() where method.kind == .unary {
      let failed = sum(empty, calls.map { $0.methods[index].failed })
      let succeeded = sum(empty, calls.map { $0.methods[index].succeeded })
      if failed.count > 0 { family.add([("type", method.name), ("success", "false")], failed) }
      if succeeded.count > 0 { family.add([("type", method.name), ("success", "true")], succeeded) }
    }
    return family
  }

  private func clientRequests(_ figures: [LoopFigures]) -> MetricFamily {
    var family = MetricFamily(
      "etcd_server_client_requests_total", .counter, "The total number of client requests per client version."
    )
    var counts: [String: (unary: UInt64, streams: UInt64)] = [:]
    for entry in figures.flatMap(\.clientVersions.entries) {
      let before = counts[entry.version] ?? (0, 0)
      counts[entry.version] = (before.unary + entry.unary, before.streams + entry.streams)
    }
    for (version, count) in counts.sorted(by: { $0.key < $1.key }) {
      if count.streams > 0 {
        family.add([("client_api_version", version), ("type", "stream")], Double(count.streams))
      }
      if count.unary > 0 {
        family.add([("client_api_version", version), ("type", "unary")], Double(count.unary))
      }
    }
    return family
  }

  private func streamFailures() -> MetricFamily {
    var family = MetricFamily(
      "etcd_network_server_stream_failures_total", .counter,
      "The total number of stream failures from the local server.")
    let watches = sum(loops.map { $0.brokenWatches.value })
    let keepAlives = sum(loops.map { $0.brokenKeepAlives.value })
    if keepAlives > 0 { family.add([("API", "lease-keepalive"), ("Type", "receive")], Double(keepAlives)) }
    if watches > 0 { family.add([("API", "watch"), ("Type", "receive")], Double(watches)) }
    return family
  }

  private static let codeNames = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
  ]
}

extension RPCMethod {
  fileprivate var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  fileprivate var labels: [(name: String, value: String)] {
    let type =
      switch kind {
      case .unary: "unary"
      case .serverStream: "server_stream"
      case .bidirectional: "bidi_stream"
      }
    let service = path.split(separator: "/").first.map(String.init) ?? path
    return [("grpc_method", name), ("grpc_service", service), ("grpc_type", type)]
  }
}
