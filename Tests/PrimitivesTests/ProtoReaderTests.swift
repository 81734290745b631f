import Primitives
import Testing

@Suite struct ProtoReaderTests {
  @Test func varintsOfEveryLength() throws {
    for bits in 0..<64 {
      for value in [UInt64(1) << UInt64(bits), (UInt64(1) << UInt64(bits)) - 1, UInt64.max >> UInt64(bits)] {
        var writer = ProtoWriter()
        writer.varint(value)
        #expect(writer.count == ProtoSize.varint(value))
        #expect(try read(writer.bytes) { reader throws(ProtoError) in try reader.readVarint() } == value)
      }
    }
  }

  @Test(
    arguments: [
      ([], .truncated),
      ([0x80], .truncated),
      ([UInt8](repeating: 0xff, count: 9), .truncated),
      // 2^64, and eleven bytes.
      ([UInt8](repeating: 0x80, count: 9) + [2], .varintTooLong),
      ([UInt8](repeating: 0x80, count: 10) + [0], .varintTooLong),
    ] as [([UInt8], ProtoError)])
  func badVarints(_ bytes: [UInt8], _ error: ProtoError) {
    #expect(throws: error) {
      try read(bytes) { reader throws(ProtoError) in try reader.readVarint() }
    }
  }

  @Test func anOverlongVarintIsRead() throws {
    let bytes = [0x81] + [UInt8](repeating: 0x80, count: 8) + [0]
    #expect(try read(bytes) { reader throws(ProtoError) in try reader.readVarint() } == 1)
  }

  @Test func negativeNumbersTakeTenBytes() throws {
    let bytes = [UInt8](repeating: 0xff, count: 9) + [1]
    #expect(try read(bytes) { reader throws(ProtoError) in try reader.readInt64() } == -1)
    #expect(try read(bytes) { reader throws(ProtoError) in try reader.readInt32() } == -1)
    // The low 32 bits of 2^33 + 5.
    let wide: [UInt8] = [0x85, 0x80, 0x80, 0x80, 0x20]
    #expect(try read(wide) { reader throws(ProtoError) in try reader.readInt32() } == 5)
  }

  @Test(
    arguments: [
      ([0x00], .badTag),
      ([0x07], .badTag),
      // Field 2^29.
      ([0x80, 0x80, 0x80, 0x80, 0x10], .badTag),
      ([0x0e], .badWireType),
      ([0x0f], .badWireType),
      ([0x0c], .badGroup),
      ([0x0b], .truncated),
      ([0x0b, 0x14], .badGroup),
      ([0x09, 1, 2, 3, 4, 5, 6, 7], .truncated),
      ([0x0d, 1, 2, 3], .truncated),
      ([0x0a, 2, 0], .truncated),
      ([0x0a] + [UInt8](repeating: 0xff, count: 9) + [1], .truncated),
    ] as [([UInt8], ProtoError)])
  func badFields(_ bytes: [UInt8], _ error: ProtoError) {
    #expect(throws: error) { try skipAll(bytes) }
  }

  @Test(
    arguments: [
      [],
      [0x08, 0x96, 0x01],
      [0x09, 1, 2, 3, 4, 5, 6, 7, 8],
      [0x0a, 3, 1, 2, 3],
      [0x0a, 0],
      [0x0d, 1, 2, 3, 4],
      // Group 1 with a varint and group 2 in it.
      [0x0b, 0x18, 1, 0x13, 0x14, 0x0c],
      // Field 2^29 - 1.
      [0xf8, 0xff, 0xff, 0xff, 0x0f, 1],
    ] as [[UInt8]])
  func unknownFieldsAreSkipped(_ bytes: [UInt8]) throws {
    try skipAll(bytes)
  }

  @Test func nestingIsBounded() throws {
    let deepest = ProtoReader.depthMax
    let open = [UInt8](repeating: 0x0b, count: deepest)
    let close = [UInt8](repeating: 0x0c, count: deepest)
    try skipAll(open + close)
    #expect(throws: ProtoError.tooDeep) { try skipAll([0x0b] + open + close + [0x0c]) }
    #expect(throws: ProtoError.tooDeep) { try skipAll([UInt8](repeating: 0x0b, count: 1_000_000)) }
    #expect(try nestedMessages(deepest) == deepest)
    #expect(throws: ProtoError.tooDeep) { try nestedMessages(deepest + 1) }
    // Messages and groups share the bound.
    var message = ProtoWriter()
    message.bytesField(1, open + close)
    #expect(throws: ProtoError.tooDeep) {
      try read(message.bytes) { reader throws(ProtoError) in
        _ = try reader.nextTag()
        var inner = try reader.readMessage()
        while let tag = try inner.nextTag() { try inner.skip(tag) }
      }
    }
  }

  @Test func stringsAreUTF8() throws {
    let good: [UInt8] = [5, 0x61, 0xf0, 0x9f, 0xa6, 0x8a]
    #expect(try read(good) { reader throws(ProtoError) in try reader.readString() } == "a🦊")
    // A stray continuation, an overlong form, a surrogate, a cut sequence.
    for bad in [[1, 0x80], [2, 0xc0, 0x80], [3, 0xed, 0xa0, 0x80], [1, 0xc3]] as [[UInt8]] {
      #expect(throws: ProtoError.badUTF8) {
        try read(bad) { reader throws(ProtoError) in try reader.readString() }
      }
    }
  }

  @Test func packedNumbers() throws {
    let values = try read([4, 1, 0x96, 0x01, 0]) { reader throws(ProtoError) in
      var values: [UInt64] = [9]
      try reader.readPackedVarints(into: &values)
      return values
    }
    #expect(values == [9, 1, 150, 0])
    #expect(throws: ProtoError.truncated) {
      try read([2, 1, 0x96, 0x01]) { reader throws(ProtoError) in
        var values: [UInt64] = []
        try reader.readPackedVarints(into: &values)
      }
    }
  }

  /// How many messages are nested in each other, each the field 1 of the one around it.
  private func nestedMessages(_ count: Int) throws -> Int {
    var bytes: [UInt8] = []
    for _ in 0..<count {
      var writer = ProtoWriter()
      writer.bytesField(1, bytes)
      bytes = writer.bytes
    }
    return try read(bytes) { reader throws(ProtoError) in
      var depth = 0
      var current = reader
      while try current.nextTag() != nil {
        current = try current.readMessage()
        depth += 1
      }
      return depth
    }
  }
}

func read<R>(
  _ bytes: [UInt8], _ body: (inout ProtoReader) throws(ProtoError) -> R
) throws(ProtoError) -> R {
  let result: Result<R, ProtoError> = bytes.withUnsafeBytes { buffer in
    var reader = ProtoReader(buffer)
    do throws(ProtoError) { return .success(try body(&reader)) } catch { return .failure(error) }
  }
  return try result.get()
}

private func skipAll(_ bytes: [UInt8]) throws(ProtoError) {
  try read(bytes) { reader throws(ProtoError) in
    while let tag = try reader.nextTag() { try reader.skip(tag) }
  }
}
