import Primitives
import Testing

@Suite struct ProtoWriterTests {
  @Test func zeroAndEmptyFieldsAreLeftOut() {
    var writer = ProtoWriter()
    writer.uint64(1, 0)
    writer.int64(2, 0)
    writer.int32(3, 0)
    writer.bool(4, false)
    writer.bytes(5, [])
    writer.string(6, "")
    #expect(writer.bytes.isEmpty)
    writer.varintField(1, 0)
    writer.bytesField(2, [])
    #expect(writer.bytes == [0x08, 0, 0x12, 0])
  }

  @Test func fieldsOfEachKind() {
    var writer = ProtoWriter()
    writer.uint64(1, 300)
    writer.int64(2, -1)
    writer.int32(3, -2)
    writer.bool(4, true)
    writer.bytes(5, [1, 2])
    writer.string(16, "é")
    let minusOne = [UInt8](repeating: 0xff, count: 9) + [1]
    let minusTwo = [0xfe] + [UInt8](repeating: 0xff, count: 8) + [1]
    let tail: [UInt8] = [0x20, 1, 0x2a, 2, 1, 2, 0x82, 0x01, 2, 0xc3, 0xa9]
    #expect(writer.bytes == [0x08, 0xac, 0x02, 0x10] + minusOne + [0x18] + minusTwo + tail)
    let sizes = [
      ProtoSize.uint64(1, 300), ProtoSize.int64(2, -1), ProtoSize.int32(3, -2), ProtoSize.bool(4, true),
      ProtoSize.bytes(5, count: 2), ProtoSize.string(16, "é"),
    ]
    #expect(sizes.reduce(0, +) == writer.count)
  }

  /// Every length at which the length's own size changes, two levels deep.
  @Test(arguments: [0, 1, 123, 124, 125, 126, 127, 128, 129, 16_380, 16_383, 16_384, 16_385, 2_097_152])
  func backpatchedMessagesEqualMeasuredOnes(_ size: Int) {
    let content = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    var patched = ProtoWriter()
    patched.raw([0xee])
    let outer = patched.beginMessage(3)
    patched.varintField(1, 7)
    let inner = patched.beginMessage(200)
    patched.raw(content)
    patched.endMessage(inner)
    patched.endMessage(outer)
    patched.raw([0xdd])

    var measured = ProtoWriter(appendingTo: [0xee])
    measured.message(3, size: ProtoSize.varintField(1, 7) + ProtoSize.message(200, size: size))
    measured.varintField(1, 7)
    measured.bytesField(200, content)
    measured.raw([0xdd])
    #expect(patched.bytes == measured.bytes)
  }

  @Test func aReusedWriterStartsAgain() {
    var writer = ProtoWriter(reserving: 64)
    writer.bytesField(1, [1])
    writer.removeAll()
    writer.bytesField(1, [2])
    #expect(writer.bytes == [0x0a, 1, 2])
  }

  @Test func bigEndian() {
    var bytes: [UInt8] = []
    bytes.appendBigEndian(0x0102_0304_0506_0708 as UInt64)
    bytes.appendBigEndian(0x0a0b_0c0d as UInt32)
    #expect(bytes == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13])
    bytes.insert(0, at: 0)
    bytes.withUnsafeMutableBytes { buffer in
      #expect(UnsafeRawBufferPointer(buffer).bigEndianUInt64(at: 1) == 0x0102_0304_0506_0708)
      #expect(UnsafeRawBufferPointer(buffer).bigEndianUInt32(at: 9) == 0x0a0b_0c0d)
      buffer.storeBigEndian(0xfffe_fdfc_fbfa_f9f8 as UInt64, at: 5)
      buffer.storeBigEndian(0x1122_3344 as UInt32, at: 1)
    }
    #expect(bytes == [0, 0x11, 0x22, 0x33, 0x44, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8])
  }
}
