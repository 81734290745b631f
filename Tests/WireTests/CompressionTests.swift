import Foundation
import Model
import Primitives
import Testing
import Wire

/// Compressed requests: etcd's server takes gzip, and nothing else.
@Suite struct CompressionTests {
  /// Made with zlib at level 9: stored nothing, fixed codes, dynamic codes with short and with long matches.
  private static let samples: [(plain: [UInt8], gzip: String)] = [
    ([], "H4sIAAAAAAACAwMAAAAAAAAAAAA="),
    (Array("hello hello hello".utf8), "H4sIAAAAAAACA8tIzcnJV8hAkACAiPnlEQAAAA=="),
    (
      Array(
        String(repeating: "etcdserverpb.KV/Range key value revision lease version ", count: 40).utf8.prefix(
          2000)),
      """
      H4sIAAAAAAACA0stSU4pTi0qSy0qSNLzDtMPSsxLT1XITq1UKEvMKU1VKEotyyzOzM9TyElNLE5VAKoD81JHtY1qG9U2qm1U26i2UW2DR\
      xsADfLDf9AHAAA=
      """
    ),
    (
      mixture,
      """
      H4sIAAAAAAACAw3NgwIdORQA0HZr27ZtbW3buLnJTHAzyWSSl2pr27bb/cnd8wOnjcI2KrXRpm2h2mr/l9J/ydgOZLumaleK9rxo\
      b1wH1B1s7phtRx47hqpT7Tsx0TnqztJ3SXUXjl0a2zVhV+m7cd8tqO4KuwfXnaiHCz2E6WlizyB7RepVsl6c9Va6d+Z9wPcJoq+l\
      vsj7guinfD9N/Yn1V2xAwQbEOCDlgSUNNM0gh4MsH2zd4MIMlvUQIYcwOVThUFUMC3pYpYYFGC7DcBlHgB/Bq5GlGMnFSONGmTCK\
      8miZRnMxJlRjahjDaKzQYyWME/U4juObND7heOknkJsQ1MTaTGRuEtEkh5NsM9nEyeimRJpSsqnIpio9NdM05acFOz2Z6YbPUGKG\
      hxk6ziQ2U7FZlZ4l+OxCznZxtm7mODPH8rnJza3MPO/nCTmP+fke56tiQQgLqnphgIWyXujFIvCLsLXY2cVklzR5iQlLqFwq01IS\
      y1hrGYPlmpYLvVzCCgErCP/m6W+BKz2spLwS1ararGKt1TGuzriGmjVGrEG3VsS1pV6Hap0K6yWtl7Ae7YbUbDC0UdmNPm/ScVPU\
      myTbXOnNgm8p5BYXt2rcms1WS9ui21aZ7R62C79D+x1e76iLnRh22noXwi7PdnuxW8FuTHuc3UN2b8h7De6L5T5Z7COxn6X9DA5o\
      OsDDQQ8HBRwkc4gXh4Q+7OEw5SOsPsLMEdY6GuPRjMcIjzXiOLrjPB53+oRRJ+pwUtJJmU+hPVU0pzSBsgCZBcGiRq+w0ig4F5I7\
      IQKKbIpEhWgVVVMClOSlBgla1ZVCVAk0Ku2ZccIoIFOQs0TWYmkbrGJZucKRdaxwTHkdPdW1V7WFYEzgRRC6AWiijMxH1iRdJi6S\
      NK2Ireb/OWfOTzt92qjTHs/IeMbns5jOFvxcMOdqew7k+VqcF/ofr/5phQuWLlh3IYuLAS+WzaVEl0Trcqu5DHCZ3BUNV0Bfheoq\
      4rUE11BdA3Y903UFN0xxo5VuxnQTy5sN3hLulhO3o72tiztK3QnxDrG7oO5ada/R96i4b/X9rO5H+UDDA9Y81OVDzh9J8yjiI7SP\
      TX5M/IkLT0z9FNhTH596+UynZwV/HprndXoB8gXjL0R4CeplCq8svbLudRav0bwuw5sivhHl28TfgnpH+V2AdxDeg31v8EMBH7T6\
      CPpjpo+1+mSKT634OabPWH5B80W4L85+jfarLr4p+S2I78S+Z/Xdqh9N+EHVTxt+ZvlLyF8afin+W5e/Of8jzR9h/kX6D+VP5p+w\
      BAAA
      """
    ),
  ]

  private static let mixture: [UInt8] = (0..<1200).map { (index: Int) -> UInt8 in
    if index % 3 == 0 { return UInt8(index / 7 % 200) }
    let spread = index * index * 31 + (index >> 3)
    return UInt8(spread % 61 % 23 + 97)
  }

  /// 100,000 zero bytes.
  private static let bomb =
    "H4sIAAAAAAACA+3BMQEAAADCoPVPbQ0PoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIBXA32VEdSghgEA"

  private func decode(_ text: String) throws -> [UInt8] {
    Array(try #require(Data(base64Encoded: text)))
  }

  private func exchange(_ peer: RawPeer, _ stream: UInt32, _ data: [UInt8]) throws -> RawPeer.Response {
    peer.send(.request(stream, TestMethod.echo.path, [("grpc-encoding", "gzip")]), .data(stream, data))
    return try #require(try peer.response(stream))
  }

  @Test func gzipRequestsAreRead() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      for (index, sample) in Self.samples.enumerated() {
        let bytes = try decode(sample.gzip)
        let response = try exchange(peer, UInt32(index * 4 + 1), grpc(bytes, compressed: 1))
        #expect(response.body == grpc(sample.plain), "sample \(index): \(response.message)")
        // A client that compresses may leave single messages plain.
        let plain = try exchange(peer, UInt32(index * 4 + 3), grpc(sample.plain))
        #expect(plain.body == grpc(sample.plain))
      }
    }
  }

  @Test func storedBlocksAndHeaderFieldsAreRead() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      // Extra field, name, comment and header checksum; then "hi" in a stored block.
      var bytes: [UInt8] = [0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3]
      bytes += [2, 0, 9, 9]
      bytes += Array("name\0comment\0".utf8)
      bytes += [0x00, 0xcd]
      bytes += [1, 2, 0, 0xfd, 0xff, 0x68, 0x69]
      bytes += [0xac, 0x2a, 0x93, 0xd8, 2, 0, 0, 0]
      let response = try exchange(peer, 1, grpc(bytes, compressed: 1))
      #expect(response.body == grpc(Array("hi".utf8)), "\(response.message)")
    }
  }

  @Test func bombIsStoppedAtTheLimit() throws {
    var options = ServerOptions()
    options.requestBytesMax = 99_999
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      let response = try exchange(peer, 1, grpc(decode(Self.bomb), compressed: 1))
      #expect(response.status == 8)
      #expect(
        response.message == "grpc: received message after decompression larger than max (100000 vs. 99999)")
    }
    options.requestBytesMax = 100_000
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port)
      #expect(try exchange(peer, 1, grpc(decode(Self.bomb), compressed: 1)).body.count == 100_005)
    }
  }

  @Test func damageIsNamed() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      let good = try decode(Self.samples[1].gzip)
      var badSum = good
      badSum[badSum.count - 5] ^= 1
      var badMagic = good
      badMagic[0] = 0
      let cases: [([UInt8], String)] = [
        (badSum, "gzip: invalid checksum"), (badMagic, "gzip: invalid header"),
        (Array(good.dropLast(9)), "unexpected EOF"), ([], "EOF"),
        (good + [1, 2, 3], "gzip: invalid header"), (Array(good.dropLast(1)), "unexpected EOF"),
      ]
      for (index, (bytes, text)) in cases.enumerated() {
        let response = try exchange(peer, UInt32(index * 2 + 1), grpc(bytes, compressed: 1))
        #expect(response.status == 13)
        #expect(response.message == "grpc: failed to decompress the received message: \(text)")
      }
    }
  }

  @Test func membersAreJoined() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      let member = try decode(Self.samples[1].gzip)
      let response = try exchange(
        peer, 1, grpc(member + decode(Self.samples[0].gzip) + member, compressed: 1))
      #expect(response.body == grpc(Self.samples[1].plain + Self.samples[1].plain), "\(response.message)")
    }
  }

  /// A hundred bytes on the wire may be 100,000 in memory, and a peer that does not read has many of them wait.
  @Test func whatWaitsCountsAsDecompressed() throws {
    var options = ServerOptions()
    options.connectionQueueHighBytes = 1 << 20
    options.connectionQueueLowBytes = 1 << 18
    options.heldRequestBytesMax = 500_000
    try TestServer.run(options) { server in
      let peer = try RawPeer(port: server.port, settings: [(id: 4, value: 0)])
      peer.call(1, TestMethod.blob.path, bigEndian(2 << 20))
      // All headers first: none of them is refused.
      let streams = (1...40).map { UInt32($0 * 2 + 1) }
      for stream in streams {
        peer.send(.request(stream, TestMethod.echo.path, [("grpc-encoding", "gzip")]))
      }
      for stream in streams { try peer.send(.data(stream, grpc(decode(Self.bomb), compressed: 1))) }
      var refused = 0
      peer.call(999, "/test.Unary/Nothing", [1])
      while let frame = try peer.next() {
        if frame.type == Frame.Kind.headers, frame.endsStream {
          if frame.stream == 999 { break }
          refused += 1
        }
      }
      #expect(refused == 36)
    }
  }

  @Test func mutatedStreamsAreAnsweredOrRefused() throws {
    try TestServer.run { server in
      let peer = try RawPeer(port: server.port)
      var random = SeededRandom(seed: 5)
      var stream: UInt32 = 1
      for round in 0..<3000 {
        var bytes = try decode(Self.samples[1 + round % 3].gzip)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          bytes[Int.random(in: 10..<bytes.count, using: &random)] = UInt8(truncatingIfNeeded: random.next())
        }
        let response = try exchange(peer, stream, grpc(bytes, compressed: 1))
        #expect(response.status == 0 || response.status == 13 || response.status == 8)
        stream += 2
      }
    }
  }
}
