import Glibc
import Model
import NIOCore
import Primitives
import Testing
import Wire

/// Bytes no good client sends: no trap, no hang, bounded memory, and a good client served meanwhile.
/// A trap ends the test process, so that it is seen. Each seed replays alone.
@Suite(.serialized) struct FuzzTests {
  /// Debug builds take a tenth: they are for the checks that release leaves out.
  private static let sessionsPerSeed = isDebugBuild ? 60 : 600

  private static var smallLimits: ServerOptions {
    var options = ServerOptions()
    options.requestBytesMax = 4096
    options.headerBytesMax = 2048
    options.heldRequestBytesMax = 65_536
    options.connectionQueueHighBytes = 65_536
    options.connectionQueueLowBytes = 16_384
    options.callQueueHighBytes = 16_384
    options.callQueueLowBytes = 4096
    options.concurrentStreamsMax = 20
    options.streamWindowBytes = 8192
    options.connectionWindowBytes = 65_535
    options.prefaceTimeout = .seconds(2)
    options.http1HeaderTimeout = .seconds(2)
    options.http1BodyBytesMax = 10_000
    return options
  }

  /// Serves one call on a connection of its own.
  private func expectService(_ server: TestServer, _ connection: ClientConnection, _ comment: Comment) throws
  {
    let start = NIODeadline.now()
    #expect(
      try connection.unary(server.method(.echo), message: framed("good")).wait() == Array("good".utf8),
      comment)
    #expect(NIODeadline.now() - start < .seconds(5), comment)
  }

  @Test(arguments: UInt64(1)...8)
  func mutatedSessionsHarmNobody(seed: UInt64) throws {
    try TestServer.run(Self.smallLimits) { server in
      let good = try server.connect()
      var random = SeededRandom(seed: seed)
      let before = residentBytes()
      for session in 0..<Self.sessionsPerSeed {
        var generator = SessionGenerator(random: SeededRandom(seed: random.next()))
        var bytes = generator.session()
        mutate(&bytes, &random)
        let peer = try RawPeer(port: server.port, settings: nil)
        peer.send(bytes)
        peer.endSending()
        #expect(peer.drain(), "seed \(seed) session \(session): the server did not close")
        if session % 20 == 0 { try expectService(server, good, "seed \(seed) session \(session)") }
      }
      try expectService(server, good, "seed \(seed)")
      #expect(server.eventually { _ in (try? server.server.connectionCount().wait()) == 1 })
      #expect(residentBytes() - before < 300 << 20)
    }
  }

  @Test(arguments: UInt64(1)...4)
  func randomBytesHarmNobody(seed: UInt64) throws {
    try TestServer.run(Self.smallLimits) { server in
      let good = try server.connect()
      var random = SeededRandom(seed: seed)
      for session in 0..<Self.sessionsPerSeed {
        let peer = try RawPeer(port: server.port, settings: nil)
        var bytes: [UInt8] = random.chance(1, in: 2) ? RawPeer.preface : []
        for _ in 0..<Int.random(in: 0...2000, using: &random) {
          bytes.append(UInt8(truncatingIfNeeded: random.next()))
        }
        peer.send(bytes)
        peer.endSending()
        #expect(peer.drain(), "seed \(seed) session \(session): the server did not close")
      }
      try expectService(server, good, "seed \(seed)")
    }
  }

  /// Frames in such number that each must be cheap, or the sender be sent away.
  enum Flood: String, CaseIterable, Sendable {
    case ping, settings, priority, emptyData, windowUpdate, reset, continuation, emptyHeaders, headerBomb,
      unknownType, trailers, hugeHeaders, goAway

    func bytes(_ count: Int) -> [UInt8] {
      var bytes = RawPeer.preface + Frame.settings().bytes
      switch self {
      case .continuation:
        bytes +=
          Frame(type: Frame.Kind.headers, stream: 1, payload: Frame.headerBlock([(":method", "POST")])).bytes
      case .emptyData, .trailers: bytes += Frame.request(1, TestMethod.chat.path).bytes
      case .headerBomb:
        // One field of 4,000 bytes goes into the table; below it is named by one byte again and again.
        bytes +=
          Frame(
            type: Frame.Kind.headers, flags: Frame.endHeaders, stream: 1,
            payload: [0x40, 1, 120, 127, 0xa1, 0x1e] + [UInt8](repeating: 97, count: 4000)
          ).bytes
      default: break
      }
      for index in 0..<count { bytes += frame(index).bytes }
      return bytes
    }

    private func frame(_ index: Int) -> Frame {
      let stream = UInt32(index * 2 + 1)
      switch self {
      case .ping: return .ping(UInt8(truncatingIfNeeded: index))
      case .settings: return .settings([(id: 3, value: 100)])
      case .priority: return Frame(type: Frame.Kind.priority, stream: stream, payload: [0, 0, 0, 0, 1])
      case .emptyData: return .data(1, [], end: false)
      case .windowUpdate: return .windowUpdate(0, 1)
      case .reset:
        var frame = Frame.request(stream / 2 * 2 + 1, TestMethod.hang.path)
        if index % 2 == 1 { frame = .reset(UInt32(index - 1) * 2 + 1) }
        return frame
      case .continuation:
        return Frame(type: Frame.Kind.continuation, stream: 1, payload: Frame.headerBlock([("x", "y")]))
      case .emptyHeaders: return Frame(type: Frame.Kind.headers, flags: Frame.endHeaders, stream: stream)
      case .headerBomb:
        return Frame(
          type: Frame.Kind.headers, flags: Frame.endHeaders, stream: stream + 2,
          payload: [UInt8](repeating: 0xbe, count: 4000))
      case .unknownType: return Frame(type: 0xbb, stream: stream, payload: [1, 2, 3])
      case .trailers: return .headers(1, [("x", "y")])
      case .hugeHeaders:
        return .request(stream, TestMethod.echo.path, [("x", String(repeating: "z", count: 15_000))])
      case .goAway: return Frame(type: Frame.Kind.goAway, payload: word(0) + word(0))
      }
    }
  }

  @Test(arguments: Flood.allCases)
  func floodsAreCheapOrEnded(flood: Flood) throws {
    var options = Self.smallLimits
    options.resetBurst = 500
    options.resetsPerSecond = 100
    try TestServer.run(options) { server in
      let good = try server.connect()
      let before = residentBytes()
      let peer = try RawPeer(port: server.port, settings: nil)
      peer.send(flood.bytes(isDebugBuild ? 5000 : 50_000))
      try expectService(server, good, "\(flood)")
      peer.endSending()
      #expect(peer.drain(), "\(flood): the server did not close")
      #expect(server.eventually { $0.cancelled.count <= 600 }, "\(flood)")
      #expect(residentBytes() - before < 300 << 20, "\(flood)")
    }
  }

  private func mutate(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
    // Some sessions stay as they are, some keep the preface.
    guard !random.chance(1, in: 20), bytes.count > 30 else { return }
    let start = random.chance(9, in: 10) ? 24 : 0
    for _ in 0..<Int.random(in: 1...8, using: &random) where bytes.count > start + 16 {
      let position = Int.random(in: start..<bytes.count, using: &random)
      switch random.next() % 6 {
      case 0: bytes[position] ^= 1 << UInt8(random.next() % 8)
      case 1: bytes[position] = UInt8(truncatingIfNeeded: random.next())
      case 2:
        bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...20, using: &random)))
      case 3: bytes.removeSubrange(position...)
      case 4:
        let end = min(bytes.count, position + Int.random(in: 1...100, using: &random))
        bytes.insert(contentsOf: Array(bytes[position..<end]), at: position)
      default: bytes[position] = [0, 1, 0x7f, 0x80, 0xff][Int(random.next() % 5)]
      }
    }
  }
}

/// Makes valid sessions of all frame kinds, to be broken afterwards.
private struct SessionGenerator {
  var random: SeededRandom

  mutating func session() -> [UInt8] {
    var bytes = RawPeer.preface
    let window = UInt32.random(in: 0...70_000, using: &random)
    bytes += Frame.settings(random.chance(1, in: 2) ? [(id: UInt16(4), value: window)] : []).bytes
    if random.chance(1, in: 2) { bytes += Frame.settings(ack: true).bytes }
    for index in 0..<Int.random(in: 1...12, using: &random) {
      bytes += call(UInt32(index * 2 + 1))
      if random.chance(1, in: 4) { bytes += noise(UInt32(index * 2 + 1)) }
    }
    return bytes
  }

  private mutating func call(_ stream: UInt32) -> [UInt8] {
    let method = TestMethod.allCases[Int(random.next() % UInt64(TestMethod.allCases.count))]
    var message: [UInt8]
    switch method {
    case .blob: message = bigEndian(Int.random(in: 0...100_000, using: &random))
    case .many:
      message = bigEndian(Int.random(in: 0...100, using: &random), Int.random(in: 0...3000, using: &random))
    case .echo, .hang, .metadata, .chat, .fail, .hangUp:
      message = (0..<Int.random(in: 0...5000, using: &random)).map { UInt8(truncatingIfNeeded: $0) }
    }
    var changes: [(String, String)] = []
    if random.chance(1, in: 3) { changes.append(("grpc-timeout", "\(random.next() % 100)m")) }
    if random.chance(1, in: 3) { changes.append(("token", "abc")) }
    if random.chance(1, in: 10) { changes.append(("x", String(repeating: "y", count: 3000))) }
    var headers = Frame.request(stream, method.path, changes)
    var bytes: [UInt8] = []
    if random.chance(1, in: 4) {
      let cut = Int.random(in: 0...headers.payload.count, using: &random)
      let rest = Frame(
        type: Frame.Kind.continuation, flags: Frame.endHeaders, stream: stream,
        payload: Array(headers.payload[cut...]))
      headers.flags &= ~Frame.endHeaders
      headers.payload = Array(headers.payload[..<cut])
      bytes += headers.bytes + rest.bytes
    } else {
      bytes += headers.bytes
    }
    var body = grpc(message)
    if random.chance(1, in: 3) { body += grpc([1, 2, 3]) }
    while !body.isEmpty {
      let piece = Array(body.prefix(Int.random(in: 1...3000, using: &random)))
      body.removeFirst(piece.count)
      bytes += Frame.data(stream, piece, end: body.isEmpty && !random.chance(1, in: 8)).bytes
    }
    return bytes
  }

  private mutating func noise(_ stream: UInt32) -> [UInt8] {
    switch random.next() % 6 {
    case 0: Frame.ping(1).bytes
    case 1: Frame.windowUpdate(0, 10_000).bytes
    case 2: Frame.windowUpdate(stream, UInt32.random(in: 1...70_000, using: &random)).bytes
    case 3: Frame.reset(stream).bytes
    case 4: Frame(type: Frame.Kind.priority, stream: stream, payload: [0, 0, 0, 0, 9]).bytes
    default: Frame.settings([(id: 4, value: UInt32.random(in: 0...100_000, using: &random))]).bytes
    }
  }
}

/// Physical memory of this process.
private func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, file) != nil else { return 0 }
  let fields = line.prefix { $0 != 0 }.split(separator: CChar(32))
  guard fields.count > 1 else { return 0 }
  return (Int(String(decoding: fields[1].map { UInt8(bitPattern: $0) }, as: UTF8.self)) ?? 0) * 4096
}

private var isDebugBuild: Bool {
  var debug = false
  assert(
    {
      debug = true
      return true
    }())
  return debug
}
