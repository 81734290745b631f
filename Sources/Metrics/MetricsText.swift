/// Prometheus' text format, version 0.0.4, as Go's client library writes it.
public struct MetricsText {
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  public private(set) var bytes: [UInt8] = []

  public init() { bytes.reserveCapacity(1 << 17) }

  /// The families in the order of their names; those without a series are not shown.
  public static func encode(_ families: [MetricFamily]) -> [UInt8] {
    var text = MetricsText()
    let shown = families.filter { !$0.series.isEmpty }
    for family in shown.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
      text.append(family)
    }
    return text.bytes
  }

  public mutating func append(_ family: MetricFamily) {
    raw("# HELP \(family.name) ")
    escape(family.help, quotes: false)
    raw("\n# TYPE \(family.name) \(family.kind.rawValue)\n")
    for series in family.series {
      let labels = series.labels.sorted { $0.name < $1.name }
      switch series.value {
      case .number(let value): sample(family.name, labels, value)
      case .histogram(let reading): append(reading, family.name, labels)
      }
    }
  }

  private mutating func append(
    _ reading: HistogramReading, _ name: String, _ labels: [(name: String, value: String)]
  ) {
    var cumulated: UInt64 = 0
    for (index, count) in reading.counts.enumerated() {
      cumulated &+= count
      let bound = index < reading.bounds.count ? goNumber(reading.bounds[index]) : "+Inf"
      sample("\(name)_bucket", labels + [("le", bound)], Double(cumulated))
    }
    sample("\(name)_sum", labels, reading.sum)
    sample("\(name)_count", labels, Double(cumulated))
  }

  private mutating func sample(_ name: String, _ labels: [(name: String, value: String)], _ value: Double) {
    raw(name)
    if !labels.isEmpty {
      raw("{")
      for (index, label) in labels.enumerated() {
        raw(index == 0 ? "\(label.name)=\"" : ",\(label.name)=\"")
        escape(label.value, quotes: true)
        raw("\"")
      }
      raw("}")
    }
    raw(" \(goNumber(value))\n")
  }

  private mutating func raw(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// A line break would end the line, and a quote the label's value.
  private mutating func escape(_ text: String, quotes: Bool) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\\"): raw("\\\\")
      case UInt8(ascii: "\n"): raw("\\n")
      case UInt8(ascii: "\"") where quotes: raw("\\\"")
      default: bytes.append(byte)
      }
    }
  }
}

/// A number as Go's `strconv.FormatFloat(value, 'g', -1, 64)` writes it: the fewest digits that tell it from its
/// neighbours, with an exponent from 1e+06 on and below 1e-04.
public func goNumber(_ value: Double) -> String {
  if value.isNaN { return "NaN" }
  if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
  if value == 0 { return value.sign == .minus ? "-0" : "0" }
  let sign = value < 0 ? "-" : ""
  let (digits, exponent) = shortestDigits(value.magnitude)
  if exponent < -4 || exponent >= 6 {
    let fraction = digits.count > 1 ? ".\(digits.dropFirst())" : ""
    let size = exponent.magnitude
    return "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(size < 10 ? "0" : "")\(size)"
  }
  if exponent < 0 { return "\(sign)0.\(String(repeating: "0", count: -exponent - 1))\(digits)" }
  let whole = exponent + 1
  if digits.count <= whole { return "\(sign)\(digits)\(String(repeating: "0", count: whole - digits.count))" }
  return "\(sign)\(digits.prefix(whole)).\(digits.dropFirst(whole))"
}

/// The significant digits of a positive number, and the power of ten of the first.
private func shortestDigits(_ value: Double) -> (digits: String, exponent: Int) {
  // Swift prints the shortest digits too, in forms of its own: 0.001, 1e-05, 1048576.0, 1.5e+16.
  let text = value.description
  var mantissa = Substring(text)
  var exponent = 0
  if let mark = text.firstIndex(of: "e") {
    mantissa = text[..<mark]
    exponent = Int(text[text.index(after: mark)...]) ?? 0
  }
  let point = mantissa.firstIndex(of: ".") ?? mantissa.endIndex
  let whole = mantissa[..<point]
  let fraction = point == mantissa.endIndex ? "" : mantissa[mantissa.index(after: point)...]
  let all = whole + fraction
  let leading = all.prefix { $0 == "0" }.count
  var digits = all.dropFirst(leading)
  while digits.count > 1, digits.last == "0" { digits = digits.dropLast() }
  return (String(digits), exponent + whole.count - 1 - leading)
}
