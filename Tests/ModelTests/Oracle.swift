import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf
import Testing

/// A type of the hand codec beside the generated message that it must agree with.
protocol Oracled: WireMessage {
  associatedtype Oracle: SwiftProtobuf.Message & Equatable & Sendable

  init(_ oracle: Oracle)
  /// The generated message whose encoding must be this value's.
  var oracle: Oracle { get }
  static func random(_ random: inout RandomValues) -> Self
}

/// Values that lie on the edges of the encoding more often than uniform ones.
struct RandomValues {
  var generator: SeededRandom

  init(seed: UInt64) { generator = SeededRandom(seed: seed) }

  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

  mutating func bool() -> Bool { generator.chance(1, in: 2) }

  mutating func uint64() -> UInt64 {
    switch below(6) {
    case 0, 1: 0
    case 2: UInt64(below(128))
    // The first and last number of every encoded length.
    case 3: (1 << UInt64(7 * below(10))) &- UInt64(below(2))
    case 4: UInt64.max &- UInt64(below(3))
    default: generator.next()
    }
  }

  mutating func int64() -> Int64 { Int64(bitPattern: uint64()) }

  /// An enum's raw value, now and then one without a meaning.
  mutating func enumValue(_ known: Int) -> Int32 {
    switch below(10) {
    case 0: Int32(truncatingIfNeeded: generator.next())
    default: Int32(below(known))
    }
  }

  mutating func bytes() -> [UInt8] {
    let count =
      switch below(12) {
      case 0...2: 0
      case 3: 126 + below(4)
      case 4: generator.chance(1, in: 10) ? 16_382 + below(4) : 1
      default: below(40)
      }
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  }

  mutating func string() -> String {
    let alphabet: [Character] = ["a", "z", "0", "/", " ", "\u{0}", "é", "水", "🦊", "\u{10FFFF}"]
    return String((0..<below(12)).map { _ in alphabet[below(alphabet.count)] })
  }

  mutating func list<Element>(upTo count: Int, _ element: (inout Self) -> Element) -> [Element] {
    (0..<below(count + 1)).map { _ in element(&self) }
  }
}

/// A codec without its type, so that one test runs over all of them. `nil` results are agreement.
struct Codec: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// Encodes random values in both codecs and decodes them crosswise.
  let checkRandomValues: @Sendable (_ count: Int, _ seed: UInt64) -> String?
  /// Decodes bytes in both codecs.
  let compareDecoders: @Sendable (_ bytes: [UInt8]) -> Comparison
  let randomEncoding: @Sendable (inout RandomValues) -> [UInt8]
  /// Decodes, and decodes the re-encoding; false if that is another value.
  let decodesStably: @Sendable (_ bytes: [UInt8]) -> Bool

  init<Value: Oracled>(_ type: Value.Type) {
    testDescription = "\(type)"
    checkRandomValues = { count, seed in compareRandomValues(of: type, count: count, seed: seed) }
    compareDecoders = { bytes in compareDecoding(of: type, bytes) }
    randomEncoding = { random in Value.random(&random).encoded() }
    decodesStably = { bytes in
      guard let value = try? Value(decoding: bytes) else { return true }
      return (try? Value(decoding: value.encoded())) == value
    }
  }

  static let all: [Codec] = [
    Codec(RangeRequest.self), Codec(PutRequest.self), Codec(DeleteRangeRequest.self),
    Codec(CompactionRequest.self), Codec(Compare.self), Codec(RequestOperation.self),
    Codec(TransactionRequest.self), Codec(KeyValue.self), Codec(Event.self), Codec(ResponseHeader.self),
    Codec(Entry.self), Codec(HardState.self), Codec(ConfState.self), Codec(SnapshotMetadata.self),
    Codec(Model.Message.self), Codec(ConfChange.self), Codec(ConfChangeSingle.self), Codec(ConfChangeV2.self),
    Codec(RaftCommand.self), Codec(LeaseGrant.self), Codec(LeaseCheckpoint.self), Codec(AlarmCommand.self),
    Codec(MemberAttributes.self), Codec(DowngradeInfo.self), Codec(WatchCreateRequest.self),
    Codec(WatchRequest.self),
  ]
}

/// What both decoders made of the same bytes.
enum Comparison: Equatable {
  case bothRejected
  case equal
  case differentValues(String)
  case onlyOracleAccepts(ProtoError)
  case onlyWeAccept
}

private func compareRandomValues<Value: Oracled>(of: Value.Type, count: Int, seed: UInt64) -> String? {
  var random = RandomValues(seed: seed)
  for round in 0..<count {
    let value = Value.random(&random)
    let bytes = value.encoded()
    do {
      let expected: [UInt8] = try value.oracle.serializedBytes()
      if bytes != expected { return "round \(round): encoded \(value) as \(bytes), not \(expected)" }
      if value.encodedSize != bytes.count { return "round \(round): size of \(value)" }
      if try Value(decoding: bytes) != value { return "round \(round): \(value) did not come back" }
      if try Value.Oracle(serializedBytes: bytes) != value.oracle { return "round \(round): \(value)" }
    } catch {
      return "round \(round): \(error) for \(value)"
    }
  }
  return nil
}

private func compareDecoding<Value: Oracled>(of: Value.Type, _ bytes: [UInt8]) -> Comparison {
  var options = BinaryDecodingOptions()
  // SwiftProtobuf counts the outermost message as a level, we do not.
  options.messageDepthLimit = ProtoReader.depthMax + 1
  let oracle = try? Value.Oracle(serializedBytes: bytes, options: options)
  do throws(ProtoError) {
    let value = try Value(decoding: bytes)
    guard let oracle else { return .onlyWeAccept }
    let expected = Value(oracle)
    return value == expected ? .equal : .differentValues("\(value), not \(expected)")
  } catch {
    return oracle == nil ? .bothRejected : .onlyOracleAccepts(error)
  }
}
