internal import Frontend
internal import Metrics

extension MemberMetrics {
  func processFamilies() -> [MetricFamily] {
    let facts = ProcessFacts.read()
    var families: [MetricFamily] = []
    func add(_ kind: MetricFamily.Kind, _ name: String, _ help: String, _ value: Double?) {
      guard let value else { return }
      var family = MetricFamily(name, kind, help)
      family.add([], value)
      families.append(family)
    }
    add(
      .counter, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
      facts.cpuSeconds)
    let descriptors = facts.openDescriptors.map(Double.init)
    let descriptorsMax = facts.descriptorsMax.map(Double.init)
    add(.gauge, "process_open_fds", "Number of open file descriptors.", descriptors)
    add(.gauge, "process_max_fds", "Maximum number of open file descriptors.", descriptorsMax)
    add(.gauge, "os_fd_used", "The number of used file descriptors.", descriptors)
    add(.gauge, "os_fd_limit", "The file descriptor limit.", descriptorsMax)
    add(.gauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.", facts.virtualBytes)
    add(
      .gauge, "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.",
      facts.virtualBytesMax)
    add(.gauge, "process_resident_memory_bytes", "Resident memory size in bytes.", facts.residentBytes)
    add(
      .gauge, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
      facts.startSeconds)
    return families + scrapeFamilies()
  }

  private func scrapeFamilies() -> [MetricFamily] {
    var scrapes = MetricFamily(
      "promhttp_metric_handler_requests_total", .counter, "Total number of scrapes by HTTP status code.")
    scrapes.add([("code", "200")], Double(services.http.scrapes.value))
    return [
      scrapes,
      .gauge(
        "promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.",
        Double(services.http.scrapesInFlight.value)),
    ]
  }
}
