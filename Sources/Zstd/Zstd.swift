import CZstd

/// What zstd says when it cannot go on.
public enum ZstdError: Error, Hashable, Sendable {
  /// zstd refused the bytes, with its own words.
  case failed(String)
  /// The bytes decompress to another size than was declared, or to more than fits.
  case wrongSize(expected: Int)
}

extension ZstdError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .failed(let text): "zstd: \(text)"
    case .wrongSize(let expected): "zstd: the data do not decompress to \(expected) bytes"
    }
  }
}

/// Compresses blocks, each on its own, reusing one context (making one costs more than a small block).
/// One owner at a time.
public final class ZstdCompressor {
  /// Level 1 is the fastest regular one; negative levels trade size for time.
  public var level: Int32
  private let context: OpaquePointer

  public init(level: Int32) {
    guard let context = ZSTD_createCCtx() else { fatalError("out of memory for a zstd context") }
    self.level = level
    self.context = context
  }

  deinit { ZSTD_freeCCtx(context) }

  /// Compresses into `output` and returns the size, or nil when the result is larger than `output`.
  /// The plain size is recorded in the result.
  public func compress(
    _ plain: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(ZstdError) -> Int? {
    let size = ZSTD_compressCCtx(
      context, output.baseAddress, output.count, plain.baseAddress, plain.count, level)
    if ZSTD_isError(size) == 0 { return size }
    if ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall { return nil }
    throw .failed(text(of: size))
  }

  /// The largest size that `count` plain bytes can compress to.
  public static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }
}

/// Decompresses blocks, reusing one context. One owner at a time.
public final class ZstdDecompressor {
  private let context: OpaquePointer

  public init() {
    guard let context = ZSTD_createDCtx() else { fatalError("out of memory for a zstd context") }
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  /// Decompresses to exactly `output.count` bytes. No more memory is used than that, whatever `stored` says.
  public func decompress(
    _ stored: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(ZstdError) {
    let size = ZSTD_decompressDCtx(
      context, output.baseAddress, output.count, stored.baseAddress, stored.count)
    if ZSTD_isError(size) != 0 {
      if ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall { throw .wrongSize(expected: output.count) }
      throw .failed(text(of: size))
    }
    guard size == output.count else { throw .wrongSize(expected: output.count) }
  }

  /// Decompresses to exactly `plainSize` bytes, which the caller has bounded.
  public func decompress(
    _ stored: UnsafeRawBufferPointer, plainSize: Int
  ) throws(ZstdError) -> [UInt8] {
    var plain = [UInt8](repeating: 0, count: plainSize)
    try plain.withUnsafeMutableBufferPointer { (output) throws(ZstdError) in
      try decompress(stored, into: UnsafeMutableRawBufferPointer(output))
    }
    return plain
  }
}

private func text(of code: Int) -> String { String(cString: ZSTD_getErrorName(code)) }
