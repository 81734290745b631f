// Keys of tables and fields of Cairn's formats are big-endian, so that byte order is the order of the values.

extension Array where Element == UInt8 {
  /// Appends the bytes of `value`, most significant first.
  public mutating func appendBigEndian(_ value: UInt64) {
    append(addingCapacity: 8) { output in
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    }
  }

  /// Appends the bytes of `value`, most significant first.
  public mutating func appendBigEndian(_ value: UInt32) {
    append(addingCapacity: 4) { output in
      for shift in stride(from: UInt32(24), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The big-endian integer at `offset`, which need not be aligned. Traps outside the buffer: check lengths
  /// that come from outside first.
  @inlinable
  public func bigEndianUInt64(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset <= count - 8, "eight bytes at the offset")
    return unsafe UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// The big-endian integer at `offset`; see `bigEndianUInt64(at:)`.
  @inlinable
  public func bigEndianUInt32(at offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset <= count - 4, "four bytes at the offset")
    return unsafe UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Stores `value` at `offset`, most significant byte first. Traps outside the buffer.
  @inlinable
  public func storeBigEndian(_ value: UInt64, at offset: Int) {
    precondition(offset >= 0 && offset <= count - 8, "eight bytes at the offset")
    unsafe storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  /// Stores `value` at `offset`, most significant byte first. Traps outside the buffer.
  @inlinable
  public func storeBigEndian(_ value: UInt32, at offset: Int) {
    precondition(offset >= 0 && offset <= count - 4, "four bytes at the offset")
    unsafe storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }
}
