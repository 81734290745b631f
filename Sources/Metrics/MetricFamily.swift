/// One metric of a scrape: its name, what it means, and its series.
public struct MetricFamily: Sendable {
  public enum Kind: String, Sendable { case counter, gauge, histogram }

  public enum Value: Sendable {
    case number(Double)
    case histogram(HistogramReading)
  }

  public struct Series: Sendable {
    public var labels: [(name: String, value: String)]
    public var value: Value
  }

  public let name: String
  public let kind: Kind
  public let help: String
  public var series: [Series] = []

  public init(_ name: String, _ kind: Kind, _ help: String) {
    self.name = name
    self.kind = kind
    self.help = help
  }

  public mutating func add(_ labels: [(name: String, value: String)], _ value: Double) {
    series.append(Series(labels: labels, value: .number(value)))
  }

  public mutating func add(_ labels: [(name: String, value: String)], _ reading: HistogramReading) {
    series.append(Series(labels: labels, value: .histogram(reading)))
  }

  // MARK: Families of one series

  public static func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricFamily {
    var family = MetricFamily(name, .counter, help)
    family.add([], Double(value))
    return family
  }

  public static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
    var family = MetricFamily(name, .gauge, help)
    family.add([], value)
    return family
  }

  public static func histogram(_ name: String, _ help: String, _ reading: HistogramReading) -> MetricFamily {
    var family = MetricFamily(name, .histogram, help)
    family.add([], reading)
    return family
  }
}
