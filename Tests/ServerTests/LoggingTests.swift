import Foundation
import Server
import Synchronization
import Testing

@Suite struct LoggingTests {
  /// Collects lines as they are written.
  final class Capture: Sendable {
    let lines = Mutex<[String]>([])
    var output: LogOutput {
      LogOutput { bytes in self.lines.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) } }
    }
  }

  func logger(_ capture: Capture, _ level: LogLevel = .info, _ format: LogFormat = .json) -> Logger {
    // 2026-02-03T04:05:06.007Z
    Logger(level: level, format: format, outputs: [capture.output]) {
      LogTimestamp(milliseconds: 1_770_091_506_007)
    }
  }

  @Test func `a line has etcd's shape`() {
    let capture = Capture()
    logger(capture).info(
      "ready to serve client requests",
      [
        "a": "b", "n": 7, "yes": true, "urls": .list(["x", "y"]), "took": .duration(.milliseconds(100)),
        "id": .id(0x8e9e),
      ],
      file: "Server/Member.swift", line: 12)
    #expect(
      capture.lines.withLock { $0 } == [
        "{\"level\":\"info\",\"ts\":\"2026-02-03T04:05:06.007Z\",\"caller\":\"server/member.swift:12\","
          + "\"msg\":\"ready to serve client requests\",\"a\":\"b\",\"n\":7,\"yes\":true,\"urls\":[\"x\",\"y\"],"
          + "\"took\":\"100ms\",\"id\":\"8e9e\"}\n"
      ])
  }

  @Test func `any text stays one line of valid JSON`() throws {
    let capture = Capture()
    let text = "quote \" back \\ line\nfeed\r\t\u{1}\u{1f} é 日本 \u{7f}"
    logger(capture).warn(text, [text: .text(text)])
    let line = try #require(capture.lines.withLock { $0.first })
    #expect(line.filter { $0 == "\n" }.count == 1)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
    #expect(object["msg"] == text)
    #expect(object[text] == text)
    #expect(object["level"] == "warn")
  }

  @Test func `levels below the configured one are not even evaluated`() {
    let capture = Capture()
    let logger = logger(capture, .warn)
    var evaluated = 0
    func message() -> String {
      evaluated += 1
      return "m"
    }
    logger.debug(message())
    logger.info(message())
    logger.warn(message())
    logger.error(message())
    logger.log(LogRecord(.info, "no", [:]))
    logger.fatal(message())
    #expect(evaluated == 3)
    #expect(capture.lines.withLock { $0.count } == 3)
  }

  @Test func `console format`() {
    let capture = Capture()
    logger(capture, .info, .console).error("a\nb", ["k": 1], file: "Server/X.swift", line: 3)
    #expect(
      capture.lines.withLock { $0 } == [
        "2026-02-03T04:05:06.007Z\terror\tserver/x.swift:3\ta\\nb\t{\"k\":1}\n"
      ])
  }

  @Test(arguments: [
    (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_798_761_599_999, "2026-12-31T23:59:59.999Z"), (-1, "1969-12-31T23:59:59.999Z"),
    (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
  ])
  func `timestamps`(_ milliseconds: Int64, _ text: String) {
    #expect(LogTimestamp(milliseconds: milliseconds).text == text)
  }

  @Test func `lines of many threads do not mix`() async throws {
    let directory = NSTemporaryDirectory() + "/cairn-log-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let logger = Logger(level: .info, format: .json, outputs: try LogOutput.outputs(named: [directory]))
    await withTaskGroup(of: Void.self) { group in
      for writer in 0..<8 {
        group.addTask {
          for count in 0..<200 {
            logger.info("m", ["writer": .integer(Int64(writer)), "count": .integer(Int64(count))])
          }
        }
      }
    }
    let lines = try String(contentsOfFile: directory, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 1600)
    for line in lines { #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil) }
  }

  @Test(arguments: [("debug", LogLevel.debug), ("WARN", .warn), ("panic", .panic), ("fatal", .fatal)])
  func `levels`(_ text: String, _ level: LogLevel) {
    #expect(LogLevel(parsing: text) == level)
    #expect(LogLevel(parsing: "loud") == nil)
  }
}
