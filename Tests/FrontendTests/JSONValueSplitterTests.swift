import Primitives
import Testing

@testable import Frontend

@Suite struct JSONValueSplitterTests {
  /// An object with strings that hold what the splitter looks at, and nothing outside of them that it does not know.
  private static func object(_ random: inout SeededRandom, depth: Int) -> String {
    let fields = (0..<Int.random(in: 0..<4, using: &random)).map { _ in
      "\(text(&random)): \(value(&random, depth: depth))"
    }
    return "{" + fields.joined(separator: ",") + "}"
  }

  private static func value(_ random: inout SeededRandom, depth: Int) -> String {
    switch Int.random(in: 0..<(depth > 4 ? 3 : 5), using: &random) {
    case 0: "-1.5e3"
    case 1: "null"
    case 2: text(&random)
    case 3: object(&random, depth: depth + 1)
    default: "[\(value(&random, depth: depth + 1)), \(value(&random, depth: depth + 1))]"
    }
  }

  private static func text(_ random: inout SeededRandom) -> String {
    let pieces = ["{", "}", "[", "]", #"\""#, #"\\"#, #"\u0041"#, ",", " ", "é", "a"]
    let count = Int.random(in: 0..<8, using: &random)
    return "\"" + (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined() + "\""
  }

  /// What comes out when the bytes come in pieces of random sizes, and the fault that ended it.
  private static func split(
    _ bytes: [UInt8], piecesMax: Int, bytesMax: Int = 1 << 20, _ random: inout SeededRandom
  ) -> (objects: [[UInt8]], fault: JSONValueSplitter.Fault?, isInValue: Bool) {
    var splitter = JSONValueSplitter(bytesMax: bytesMax)
    var objects: [[UInt8]] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Int.random(in: 1...piecesMax, using: &random))
      rest = rest.dropFirst(piece.count)
      splitter.append(piece)
      do {
        while let object = try splitter.next() { objects.append(Array(object)) }
      } catch {
        return (objects, error, splitter.isInValue)
      }
    }
    return (objects, nil, splitter.isInValue)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func `objects come out as they went in, however they are cut`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let objects = (0..<Int.random(in: 0..<20, using: &random)).map { _ in Self.object(&random, depth: 0) }
    let blanks = ["", " ", "\n", "\t\r\n  "]
    let body = objects.map { $0 + (blanks.randomElement(using: &random) ?? "") }.joined()
    let result = Self.split(Array(body.utf8), piecesMax: 1 + Int(seed % 40), &random)
    #expect(result.objects == objects.map { Array($0.utf8) })
    #expect(result.fault == nil)
    #expect(!result.isInValue)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func `no bytes trap, and what comes out is part of what went in`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let alphabet = Array("{}[]\"\\ \n:a\u{0}é".utf8) + [0xff]
    let bytes = (0..<Int.random(in: 0..<500, using: &random)).map { _ in
      random.chance(9, in: 10)
        ? alphabet.randomElement(using: &random) ?? 0 : UInt8.random(in: 0...255, using: &random)
    }
    let result = Self.split(bytes, piecesMax: 20, bytesMax: 100, &random)
    for object in result.objects {
      #expect(object.first == UInt8(ascii: "{") && object.count <= 100)
    }
    #expect(result.objects.reduce(0) { $0 + $1.count } <= bytes.count)
    if let fault = result.fault { #expect(!fault.text.isEmpty) }
  }

  @Test func `limits of depth and length hold to the byte`() {
    var random = SeededRandom(seed: 1)
    func nested(_ depth: Int) -> [UInt8] {
      Array(
        (String(repeating: "{\"a\":", count: depth - 1) + "{" + String(repeating: "}", count: depth)).utf8)
    }
    let deepest = JSONValueSplitter.depthMax
    #expect(Self.split(nested(deepest), piecesMax: 7, &random).objects.count == 1)
    #expect(Self.split(nested(deepest + 1), piecesMax: 7, &random).fault == .tooDeep)
    let object = Array("{\"a\":\"0123456789\"}".utf8)
    let twice = object + object
    #expect(Self.split(twice, piecesMax: 5, bytesMax: object.count, &random).objects == [object, object])
    #expect(Self.split(twice, piecesMax: 5, bytesMax: object.count - 1, &random).fault == .tooLarge)
    #expect(Self.split(Array(" \n[1]".utf8), piecesMax: 9, &random).fault == .unexpected(UInt8(ascii: "[")))
  }

  /// Each was cut off the front once, moving all that followed: a body of 4 MiB took minutes.
  @Test(.timeLimit(.minutes(1)), arguments: [" ", "{}"])
  func `many small pieces cost no more than a large one`(_ piece: String) {
    let body = Array(String(repeating: piece, count: (4 << 20) / piece.utf8.count).utf8)
    var splitter = JSONValueSplitter(bytesMax: 1 << 20)
    var count = 0
    splitter.append(body)
    while let object = try? splitter.next() { count += object.count }
    #expect(count == (piece == "{}" ? body.count : 0))
  }
}
