import Metrics
import Primitives
import Testing

@Suite struct MetricsTextTests {
  private func text(_ families: [MetricFamily]) -> String {
    String(decoding: MetricsText.encode(families), as: UTF8.self)
  }

  @Test func `families come in the order of their names, and empty ones not at all`() {
    var labelled = MetricFamily("a_total", .counter, "Of \\ and\nlines.")
    labelled.add([("z", "quote \" slash \\ line \n"), ("a", "plain")], 3)
    let page = text([
      .gauge("b", "A gauge.", 1.5), labelled, MetricFamily("aa", .gauge, "No series."),
    ])
    #expect(
      page == """
        # HELP a_total Of \\\\ and\\nlines.
        # TYPE a_total counter
        a_total{a="plain",z="quote \\" slash \\\\ line \\n"} 3
        # HELP b A gauge.
        # TYPE b gauge
        b 1.5

        """)
  }

  @Test func `a histogram is cumulative and ends with infinity, sum and count`() {
    let histogram = Histogram(.milliseconds(from: 0.5, count: 2))
    for value: UInt64 in [500_000, 900_000, 900_000, 2_000_000] { histogram.observe(value) }
    #expect(
      text([.histogram("h", "H.", histogram.reading)]) == """
        # HELP h H.
        # TYPE h histogram
        h_bucket{le="0.5"} 1
        h_bucket{le="1"} 3
        h_bucket{le="+Inf"} 4
        h_sum 4.3
        h_count 4

        """)
  }

  /// As Go prints them: taken from scrapes of etcd and from strconv's rules.
  @Test(
    arguments: [
      (0.0, "0"), (-0.0, "-0"), (1, "1"), (-2.5, "-2.5"), (0.001, "0.001"), (0.0001, "0.0001"),
      (0.00001, "1e-05"), (0.0512, "0.0512"), (52.4288, "52.4288"), (524_288, "524288"), (819_200, "819200"),
      (999_999, "999999"), (1_000_000, "1e+06"), (1_048_576, "1.048576e+06"), (8_388_608, "8.388608e+06"),
      (28_037_120, "2.803712e+07"), (1_795_845_330.77, "1.79584533077e+09"),
      (18_446_744_073_709_551_616, "1.8446744073709552e+19"), (1e21, "1e+21"), (1e100, "1e+100"),
      (123_456.75, "123456.75"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
      (.leastNonzeroMagnitude, "5e-324"), (100, "100"), (120_000, "120000"),
    ] as [(Double, String)])
  func `numbers are printed as Go prints them`(_ value: Double, _ expected: String) {
    #expect(goNumber(value) == expected)
  }

  @Test(arguments: UInt64(0)..<50) func `a number is read back as it was`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let value = Double(bitPattern: UInt64.random(in: 0 ... .max, using: &random))
      guard !value.isNaN else { continue }
      #expect(Double(goNumber(value)) == value)
    }
  }

  /// Whatever a label holds, a line stays a line and the value comes back.
  @Test(arguments: UInt64(0)..<50) func `labels survive`(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let alphabet: [Character] = [
      "\"", "\\", "\n", "\r", "{", "}", ",", "=", " ", "n", "ä", "\u{0}", "\u{1F600}",
    ]
    var family = MetricFamily("f", .gauge, "")
    var values: [String] = []
    for number in 0..<20 {
      let length = Int.random(in: 0..<12, using: &random)
      let value = String((0..<length).map { _ in alphabet.randomElement(using: &random) ?? "x" })
      values.append(value)
      family.add([("v", value)], Double(number))
    }
    let lines = text([family]).utf8.split(separator: UInt8(ascii: "\n")).dropFirst(2)
    try #require(lines.count == values.count)
    for (number, line) in lines.enumerated() {
      let line = String(decoding: line, as: UTF8.self)
      let (value, rest) = try Self.label(line)
      #expect(Array(value.utf8) == Array(values[number].utf8))
      #expect(rest == "} \(number)")
    }
  }

  /// The value of the label in `f{v="..."}`, unescaped, and what follows it.
  private static func label(_ line: String) throws -> (value: String, rest: String) {
    var bytes = Array(line.utf8)[...]
    let head = Array("f{v=\"".utf8)
    try #require(bytes.starts(with: head))
    bytes = bytes.dropFirst(head.count)
    var value: [UInt8] = []
    while let byte = bytes.popFirst(), byte != UInt8(ascii: "\"") {
      guard byte == UInt8(ascii: "\\") else {
        value.append(byte)
        continue
      }
      let next = bytes.popFirst()
      let escaped = try #require(next)
      value.append(escaped == UInt8(ascii: "n") ? UInt8(ascii: "\n") : escaped)
    }
    return (String(decoding: value, as: UTF8.self), String(decoding: bytes, as: UTF8.self))
  }
}
