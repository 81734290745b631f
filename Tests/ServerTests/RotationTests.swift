import Foundation
import Testing

@testable import Server

/// Log rotation: etcd's rules and texts, lumberjack's names.
@Suite struct RotationTests {
  private static let single =
    "--log-outputs requires a single file path when --log-rotate-config-json is defined"

  @Test(arguments: [
    ["--log-outputs=stdout"], ["--log-outputs=default"], [], ["--log-outputs=/a,/b"],
    ["--log-outputs=stderr,/a,/b"],
  ])
  func `outputs without exactly one file are refused`(_ arguments: [String]) {
    #expect(Outcome.verifyError(["--enable-log-rotation"] + arguments) == Self.single)
  }

  @Test func `one file, with others beside it, is rotated`() throws {
    for outputs in ["/a", "stderr,/a", "stdout,stderr"] {
      let configuration = Outcome.configuration(["--enable-log-rotation", "--log-outputs=\(outputs)"])
      #expect(try #require(configuration).logRotation == LogRotation())
    }
    #expect(Outcome.configuration(["--log-outputs=/a"])?.logRotation == nil)
  }

  @Test func `the settings`() throws {
    let json = #"{"maxsize": 1, "maxage": 2, "maxbackups": 3, "localtime": true, "compress": true, "x": [1]}"#
    let rotation = try LogRotation(parsing: json)
    #expect(rotation.sizeBytesMax == 1 << 20)
    #expect(rotation.ageDaysMax == 2)
    #expect(rotation.backupsMax == 3)
    #expect(rotation.usesLocalTime)
    #expect(rotation.compresses)
    #expect(try LogRotation(parsing: "{}") == LogRotation())
    #expect(try LogRotation(parsing: #"{"maxsize": -1, "maxage": -1, "maxbackups": -1}"#) == LogRotation())
    #expect(try LogRotation(parsing: #"{"maxsize": 9223372036854775807}"#).sizeBytesMax == .max)
  }

  /// The words of etcd 3.5.1; where JSON itself is broken, its own end differs.
  @Test(arguments: [
    (
      #"{"maxsize": "a"}"#,
      "invalid log rotation config: json: cannot unmarshal string into Go struct field logRotationConfig.maxsize "
        + "of type int"
    ),
    (
      #"{"maxsize": 1.5}"#,
      "invalid log rotation config: json: cannot unmarshal number 1.5 into Go struct field "
        + "logRotationConfig.maxsize of type int"
    ),
    (
      #"{"compress": 1}"#,
      "invalid log rotation config: json: cannot unmarshal number into Go struct field logRotationConfig.compress "
        + "of type bool"
    ),
    (
      "[]",
      "invalid log rotation config: json: cannot unmarshal array into Go value of type embed.logRotationConfig"
    ),
    ("", "improperly formatted log rotation config: unexpected end of JSON input"),
    ("x", "improperly formatted log rotation config: "),
    ("{\"maxsize\": 1", "improperly formatted log rotation config: "),
    ("{maxsize: 1}", "improperly formatted log rotation config: "),
    ("maxsize: 1", "improperly formatted log rotation config: "),
  ])
  func `bad settings are refused`(_ json: String, _ text: String) {
    let error = Outcome.verifyError([
      "--enable-log-rotation", "--log-outputs=/a", "--log-rotation-config-json", json,
    ])
    #expect(error?.hasPrefix(text) == true, "\(error ?? "")")
  }

  @Test func `names are lumberjack's`() {
    let time = LogTimestamp(milliseconds: 1_770_091_506_007)
    let names = RotatedName(of: "server.log")
    #expect(names.name(at: time) == "server-2026-02-03T04-05-06.007.log")
    #expect(RotatedName(of: "server").name(at: time) == "server-2026-02-03T04-05-06.007")
    #expect(RotatedName(of: "a.b.log").name(at: time) == "a.b-2026-02-03T04-05-06.007.log")
    #expect(names.mark(in: "server-2026-02-03T04-05-06.007.log") == "2026-02-03T04-05-06.007")
    #expect(names.mark(in: "server-2026-02-03T04-05-06.007.log.gz") == "2026-02-03T04-05-06.007")
    for other in [
      "server.log", "server-.log", "server-2026-02-03T04-05-06.log", "x-2026-02-03T04-05-06.007.log",
    ] {
      #expect(names.mark(in: other) == nil)
    }
  }

  /// A folder of its own, and a clock that moves one second with each look.
  private final class Scene: Sendable {
    let folder = NSTemporaryDirectory() + "cairn-rotation-\(UUID().uuidString)/"
    let start = LogTimestamp(milliseconds: 1_770_091_506_007)

    init() throws {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

    func text(_ name: String) throws -> String { try String(contentsOfFile: folder + name, encoding: .utf8) }
  }

  @Test func `a full file is set aside and every line is kept once`() throws {
    let scene = try Scene()
    var rotation = LogRotation()
    rotation.sizeBytesMax = 100
    let clock = Ticking(scene.start)
    let file = try RotatingFile(path: scene.folder + "s.log", rotation: rotation) { clock.next() }
    for number in 0..<50 { file.write(Array("line \(number) of some length\n".utf8)) }
    let names = try scene.names()
    #expect(names.count == 13)  // four lines of 22 or 23 bytes fit in 100
    #expect(names.first == "s-2026-02-03T04-05-07.007.log")
    let text = try names.map(scene.text).joined()
    #expect(text == (0..<50).map { "line \($0) of some length\n" }.joined())
    // A line longer than a whole file still is not lost.
    file.write(Array(String(repeating: "x", count: 200).utf8))
    #expect(try scene.text("s.log") == String(repeating: "x", count: 200))
  }

  @Test func `a restart goes on with the file there is`() throws {
    let scene = try Scene()
    var rotation = LogRotation()
    rotation.sizeBytesMax = 10
    for _ in 0..<2 {
      let file = try RotatingFile(path: scene.folder + "s", rotation: rotation) { scene.start }
      file.write(Array("123456\n".utf8))
    }
    #expect(try scene.names() == ["s", "s-2026-02-03T04-05-06.007"])
  }

  @Test func `too many and too old files are removed, the others compressed`() throws {
    let scene = try Scene()
    let day: Int64 = 86_400_000
    let names = RotatedName(of: "s.log")
    for age in [0, 1, 2, 3, 9] as [Int64] {
      let name = names.name(at: LogTimestamp(milliseconds: scene.start.milliseconds - age * day))
      try "text \(age)".write(toFile: scene.folder + name, atomically: false, encoding: .utf8)
    }
    try "mine".write(toFile: scene.folder + "s-other.log", atomically: false, encoding: .utf8)
    var rotation = LogRotation()
    rotation.ageDaysMax = 3
    OldLogFiles(path: scene.folder + "s.log", rotation: rotation).tidy(now: scene.start)
    #expect(try scene.names().count == 5)
    rotation.backupsMax = 2
    rotation.compresses = true
    OldLogFiles(path: scene.folder + "s.log", rotation: rotation).tidy(now: scene.start)
    #expect(
      try scene.names() == [
        "s-2026-02-02T04-05-06.007.log.gz", "s-2026-02-03T04-05-06.007.log.gz", "s-other.log",
      ])
    let bytes = try Data(contentsOf: URL(fileURLWithPath: scene.folder + "s-2026-02-03T04-05-06.007.log.gz"))
    #expect(Array(bytes.prefix(2)) == [0x1f, 0x8b])
    // Once more finds nothing to do.
    OldLogFiles(path: scene.folder + "s.log", rotation: rotation).tidy(now: scene.start)
    #expect(try scene.names().count == 3)
  }
}
