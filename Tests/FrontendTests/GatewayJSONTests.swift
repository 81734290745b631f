import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf
import Testing

@testable import Frontend

/// Requests with every kind of field that the gateway spells: bytes, 64-bit numbers, enums, oneofs, nested and repeated ones.
private struct RandomRequests {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func number() -> Int64 {
    let edges: [Int64] = [0, 1, -1, .max, .min, 1 << 53, (1 << 53) + 1]
    return random.chance(1, in: 2)
      ? edges.randomElement(using: &random) ?? 0 : Int64(bitPattern: random.next())
  }

  mutating func bytes() -> Data {
    Data((0..<Int.random(in: 0..<20, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
  }

  mutating func range() -> Etcdserverpb_RangeRequest {
    .with {
      $0.key = bytes()
      $0.rangeEnd = bytes()
      $0.limit = number()
      $0.revision = number()
      $0.sortOrder = .init(rawValue: Int.random(in: 0..<3, using: &random)) ?? .none
      $0.sortTarget = .init(rawValue: Int.random(in: 0..<5, using: &random)) ?? .key
      $0.keysOnly = random.chance(1, in: 2)
    }
  }

  mutating func operation(depth: Int) -> Etcdserverpb_RequestOp {
    .with {
      switch Int.random(in: 0..<(depth > 2 ? 2 : 3), using: &random) {
      case 0: $0.requestRange = range()
      case 1:
        $0.requestPut = .with {
          $0.key = bytes()
          $0.value = bytes()
          $0.lease = number()
        }
      default: $0.requestTxn = transaction(depth: depth + 1)
      }
    }
  }

  mutating func transaction(depth: Int = 0) -> Etcdserverpb_TxnRequest {
    .with {
      for _ in 0..<Int.random(in: 0..<3, using: &random) {
        $0.compare.append(
          .with {
            $0.key = bytes()
            $0.result = .init(rawValue: Int.random(in: 0..<4, using: &random)) ?? .equal
            $0.target = .mod
            $0.modRevision = number()
          })
        $0.success.append(operation(depth: depth))
        $0.failure.append(operation(depth: depth))
      }
    }
  }
}

@Suite struct GatewayJSONTests {
  private static func decoded<Request: SwiftProtobuf.Message>(
    _ type: Request.Type, _ json: [UInt8]
  ) throws -> Request {
    let encoded = try GatewayJSON.encoded(type, from: json[...])
    #expect(encoded.prefix(GatewayJSON.headroom).allSatisfy { $0 == 0 })
    return try Request(serializedBytes: Array(encoded.dropFirst(GatewayJSON.headroom)))
  }

  @Test(arguments: 0..<100 as Range<UInt64>)
  func `a request keeps its meaning in either spelling of names`(_ seed: UInt64) throws {
    var requests = RandomRequests(seed: seed)
    let transaction = requests.transaction()
    let range = requests.range()
    for preserves in [false, true] {
      var options = JSONEncodingOptions()
      options.preserveProtoFieldNames = preserves
      options.alwaysPrintEnumsAsInts = preserves
      let json: [UInt8] = try transaction.jsonUTF8Bytes(options: options)
      #expect(try Self.decoded(Etcdserverpb_TxnRequest.self, json) == transaction)
      let other: [UInt8] = try range.jsonUTF8Bytes(options: options)
      #expect(try Self.decoded(Etcdserverpb_RangeRequest.self, other) == range)
    }
    // An answer comes back the same way: 64-bit numbers as texts, names as in the proto files.
    let text = try GatewayJSON.text(of: range)
    #expect(try Etcdserverpb_RangeRequest(jsonUTF8Bytes: text) == range)
  }

  @Test(arguments: 0..<300 as Range<UInt64>)
  func `damaged JSON is refused or means something`(_ seed: UInt64) throws {
    var requests = RandomRequests(seed: seed)
    var json: [UInt8] = try requests.transaction().jsonUTF8Bytes()
    for _ in 0...Int.random(in: 0..<4, using: &requests.random) where !json.isEmpty {
      let place = Int.random(in: 0..<json.count, using: &requests.random)
      switch Int.random(in: 0..<3, using: &requests.random) {
      case 0: json[place] = UInt8.random(in: 0...255, using: &requests.random)
      case 1: json.remove(at: place)
      default: json.insert(contentsOf: json[place...].prefix(10), at: place)
      }
    }
    guard let encoded = try? GatewayJSON.encoded(Etcdserverpb_TxnRequest.self, from: json[...]) else {
      return
    }
    #expect(throws: Never.self) {
      try Etcdserverpb_TxnRequest(serializedBytes: Array(encoded.dropFirst(GatewayJSON.headroom)))
    }
  }

  @Test(arguments: [
    (-1, true), (0, true), (2_147_483_647, true), (-2_147_483_648, true), (2_147_483_648, false),
    (-2_147_483_649, false), (Int.max, false), (Int.min, false), (1 << 32, false),
  ])
  func `enums hold 32 bits, wherever they are`(_ value: Int, _ fits: Bool) {
    let range = #"{"sort_order":\#(value)}"#
    let nested = #"{"success":[{"request_txn":{"failure":[{"request_range":\#(range)}]}}]}"#
    let listed = #"{"create_request":{"filters":["NOPUT",\#(value)]}}"#
    #expect(((try? Self.decoded(Etcdserverpb_RangeRequest.self, Array(range.utf8))) != nil) == fits)
    #expect(((try? Self.decoded(Etcdserverpb_TxnRequest.self, Array(nested.utf8))) != nil) == fits)
    #expect(((try? Self.decoded(Etcdserverpb_WatchRequest.self, Array(listed.utf8))) != nil) == fits)
  }

  @Test(arguments: 0..<100 as Range<UInt64>)
  func `texts of errors survive their quotes`(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var text = ""
    for _ in 0..<Int.random(in: 0..<40, using: &random) {
      let value =
        random.chance(1, in: 2)
        ? UInt32.random(in: 0..<0x80, using: &random) : .random(in: 0..<0x11_0000, using: &random)
      if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
    }
    for code in [StatusCode.ok, .unknown, .invalidArgument, .unauthenticated] {
      let body = GatewayJSON.text(of: ClientError(code, text))
      let parsed = try Google_Protobuf_Struct(jsonUTF8Bytes: body)
      #expect(parsed.fields["message"]?.stringValue == text)
      #expect(parsed.fields["code"]?.numberValue == Double(code == .ok ? 2 : code.rawValue))
    }
  }
}
