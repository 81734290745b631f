import Model
import NIOCore
import Primitives

/// Random raft messages from a seed, within what members send.
struct RandomMessages {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func message(to: UInt64, from: UInt64) -> Message {
    if random.next(upperBound: UInt64(3)) == 0 { return append(to: to, from: from) }
    let kinds = Message.Kind.allCases.filter { $0 != .append && $0 != .snapshot }
    return Message(
      kind: kinds[Int(random.next(upperBound: UInt64(kinds.count)))], to: to, from: from, term: number(),
      logTerm: number(), index: number(), commit: number(), vote: number(), reject: random.next() & 1 == 0,
      rejectHint: number(), context: bytes(16))
  }

  mutating func append(to: UInt64, from: UInt64) -> Message {
    let term = number() + 1
    let index = number()
    let count = random.next(upperBound: UInt64(5))
    let entries = (0..<count).map { Entry(term: term, index: index + 1 + $0, data: bytes(40)) }
    return Message(
      kind: .append, to: to, from: from, term: term, logTerm: term, index: index, entries: entries,
      commit: number())
  }

  /// Appends as a leader in its term sends them: most follow the one before.
  mutating func appendStream(count: Int, to: UInt64, from: UInt64) -> [Message] {
    var messages: [Message] = []
    var term: UInt64 = 2
    var index: UInt64 = 10
    for _ in 0..<count {
      var logTerm = term
      switch random.next(upperBound: UInt64(10)) {
      case 0:
        term += 1
      case 1:
        index = number()
        logTerm = max(1, term - 1)
      default: break
      }
      let entries = (0..<random.next(upperBound: UInt64(4))).map {
        Entry(term: term, index: index + 1 + $0, data: bytes(30))
      }
      messages.append(
        Message(
          kind: .append, to: to, from: from, term: term, logTerm: logTerm, index: index, entries: entries,
          commit: index))
      index += UInt64(entries.count)
    }
    return messages
  }

  mutating func number() -> UInt64 { random.next() >> (8 + random.next(upperBound: UInt64(50))) }

  mutating func bytes(_ countMax: Int) -> [UInt8] {
    (0..<random.next(upperBound: UInt64(countMax + 1))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }

  /// Splits bytes into pieces as a network would.
  mutating func pieces(of bytes: [UInt8]) -> [ByteBuffer] {
    var rest = bytes[...]
    var pieces: [ByteBuffer] = []
    while !rest.isEmpty {
      let count = min(rest.count, 1 + Int(random.next(upperBound: UInt64(100))))
      pieces.append(ByteBuffer(bytes: rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    return pieces
  }

  /// One to three bytes changed, taken away or added.
  mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.next(upperBound: UInt64(3)) where !bytes.isEmpty {
      let position = Int(random.next(upperBound: UInt64(bytes.count)))
      switch random.next(upperBound: UInt64(4)) {
      case 0: bytes[position] ^= 1 << UInt8(random.next(upperBound: UInt64(8)))
      case 1: bytes[position] = UInt8(truncatingIfNeeded: random.next())
      case 2: bytes.remove(at: position)
      default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
      }
    }
    return bytes
  }
}
