/// One row of results in etcdutl's forms.
struct ResultRow {
  /// The names of the columns of a table.
  var header: [String]
  /// What a table and the simple form show.
  var cells: [String]
  /// Names and values of the form `fields`.
  var fields: [(String, String)]
  /// Names and values of JSON; values are JSON.
  var json: [(String, String)]

  func print(_ format: OutputFormat) {
    switch format {
    case .simple, .protobuf: Swift.print(cells.joined(separator: ", "))
    case .fields: for (name, value) in fields { Swift.print("\"\(name)\" : \(value)") }
    case .json: Swift.print("{" + json.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}")
    case .table: Swift.print(table)
    }
  }

  private var table: String {
    let titles = header.map { $0.uppercased() }
    let widths = zip(titles, cells).map { max($0.count, $1.count) }
    let rule = "+" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "+") + "+"
    let head = zip(titles, widths).map(Self.centered)
    let body = zip(cells, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }
    return [rule, Self.line(head), rule, Self.line(body), rule].joined(separator: "\n")
  }

  private static func line(_ cells: [String]) -> String {
    "| " + cells.joined(separator: " | ") + " |"
  }

  private static func centered(_ text: String, _ width: Int) -> String {
    let gap = width - text.count
    return String(repeating: " ", count: gap / 2) + text + String(repeating: " ", count: gap - gap / 2)
  }
}
