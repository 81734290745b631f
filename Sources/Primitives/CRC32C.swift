private import CPrimitives

/// CRC-32C (Castagnoli), the checksum of every Cairn format; also what etcd's HashKV is made of.
public enum CRC32C {
  /// The checksum of `bytes`, continued from `seed` (0 to start).
  public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    unsafe cairn_crc32c(seed, bytes.baseAddress, bytes.count)
  }

  /// The checksum of an array, continued from `seed` (0 to start).
  public static func checksum(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 {
    unsafe bytes.withUnsafeBytes { buffer in unsafe checksum(buffer, seed: seed) }
  }
}
