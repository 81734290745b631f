/// The result of a run in the form of etcd's benchmark tool, and as JSON.
struct Report {
  static let percentiles = [10.0, 25, 50, 75, 90, 95, 99, 99.9]

  /// Another measurement of the same run.
  struct Part {
    /// In JSON.
    var name: String
    var title: String
    var result: LoadResult
  }

  /// What the run was about.
  var result: LoadResult
  /// Above its summary, where there is more than one.
  var title = ""
  /// Shown before it.
  var parts: [Part] = []
  /// Further fields of the JSON object, with JSON values.
  var extra: [(String, String)] = []
  /// Errors of something that is not shown.
  var otherErrors: [String: Int] = [:]

  var errorCount: Int {
    parts.reduce(result.errorCount + otherErrors.values.reduce(0, +)) { $0 + $1.result.errorCount }
  }

  var requestsPerSecond: Double {
    result.seconds > 0 ? Double(result.all.count) / result.seconds : 0
  }

  // MARK: Text

  func text() -> String {
    var text = ""
    for part in parts { text += part.title + Report(result: part.result).text() + "\n" }
    text += title
    if result.reads.count > 0 || result.writes.count > 0 {
      text += "\nTotal Read Ops: \(result.reads.count)\nDetails:" + section(result.reads)
      text += "\nTotal Write Ops: \(result.writes.count)\nDetails:" + section(result.writes)
    } else {
      text += section(result.all)
    }
    let errors = result.errors.merging(otherErrors, uniquingKeysWith: +)
    if !errors.isEmpty {
      text += "\nError distribution:\n"
      for (message, count) in errors.sorted(by: { $0.key < $1.key }) {
        text += "  [\(count)]\t\(message)\n"
      }
    }
    return text
  }

  private func section(_ histogram: LatencyHistogram) -> String {
    guard histogram.count > 0 else { return "\n" }
    let rate = result.seconds > 0 ? Double(histogram.count) / result.seconds : 0
    var text = "\nSummary:\n"
    text += "  Total:\t\(fixed(result.seconds)) secs.\n"
    text += "  Slowest:\t\(seconds(histogram.greatest)) secs.\n"
    text += "  Fastest:\t\(seconds(histogram.least)) secs.\n"
    text += "  Average:\t\(fixed(histogram.mean / 1e9)) secs.\n"
    text += "  Stddev:\t\(fixed(histogram.standardDeviation / 1e9)) secs.\n"
    text += "  Requests/sec:\t\(fixed(rate))\n"
    text += "\nResponse time histogram:\n"
    let step = Double(histogram.greatest - histogram.least) / 10
    let bounds = (0...10).map {
      $0 == 10 ? Double(histogram.greatest) : Double(histogram.least) + step * Double($0)
    }
    let counts = histogram.counts(upTo: bounds)
    let most = max(1, counts.max() ?? 1)
    for (bound, count) in zip(bounds, counts) {
      let bar = String(repeating: "∎", count: (count * 40 + most / 2) / most)
      text += "  \(fixed(bound / 1e9)) [\(count)]\t|\(bar)\n"
    }
    text += "\nLatency distribution:\n"
    for percentile in Self.percentiles {
      text += "  \(name(percentile))% in \(seconds(histogram.quantile(percentile / 100))) secs.\n"
    }
    return text
  }

  // MARK: JSON

  /// One object on one line; times in seconds.
  func json(_ parameters: [(String, String)]) -> String {
    var fields = (parameters + extra).map { "\(quoted($0.0)):\($0.1)" }
    fields.append("\"seconds\":\(result.seconds)")
    fields.append("\"requests\":\(result.all.count)")
    fields.append("\"errors\":\(errorCount)")
    fields.append("\"requests_per_second\":\(requestsPerSecond)")
    fields.append("\"latency\":\(json(result.all))")
    if result.reads.count > 0 { fields.append("\"read_latency\":\(json(result.reads))") }
    if result.writes.count > 0 { fields.append("\"write_latency\":\(json(result.writes))") }
    for part in parts { fields.append("\(quoted(part.name)):\(Report(result: part.result).json([]))") }
    let errors = result.errors.merging(otherErrors, uniquingKeysWith: +).sorted { $0.key < $1.key }.map {
      "\(quoted($0.key)):\($0.value)"
    }
    fields.append("\"error_distribution\":{\(errors.joined(separator: ","))}")
    return "{\(fields.joined(separator: ","))}"
  }

  private func json(_ histogram: LatencyHistogram) -> String {
    guard histogram.count > 0 else { return "null" }
    func field(_ name: String, _ nanoseconds: Double) -> String { "\"\(name)\":\(nanoseconds / 1e9)" }
    var fields = [
      "\"count\":\(histogram.count)", field("min", Double(histogram.least)), field("mean", histogram.mean),
      field("stddev", histogram.standardDeviation), field("max", Double(histogram.greatest)),
    ]
    for percentile in Self.percentiles + [99.99] {
      fields.append(field("p\(name(percentile))", Double(histogram.quantile(percentile / 100))))
    }
    return "{\(fields.joined(separator: ","))}"
  }

  private func name(_ percentile: Double) -> String {
    percentile == percentile.rounded() ? String(Int(percentile)) : String(percentile)
  }

  private func seconds(_ nanoseconds: Int64) -> String { fixed(Double(nanoseconds) / 1e9) }
}

/// Four digits after the point, as Go's `%4.4f`.
func fixed(_ value: Double) -> String {
  let scaled = Int64((max(0, value) * 10_000).rounded())
  let fraction = String(scaled % 10_000)
  return "\(scaled / 10_000)." + String(repeating: "0", count: 4 - fraction.count) + fraction
}

/// A JSON string.
func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case "\t": result += "\\t"
    case _ where scalar.value < 0x20:
      let hex = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
