internal import CNGHTTP2
internal import Model

/// Header fields that never change, laid out once for nghttp2 to read in place.
///
/// Unchecked: immutable after construction, never freed.
final class StaticHeaders: @unchecked Sendable {
  static let shared = StaticHeaders()

  /// `:status: 200`, `content-type: application/grpc`.
  let response: UnsafeMutablePointer<nghttp2_nv>
  let responseCount = 2
  /// `grpc-status: 0`, `grpc-message:` as grpc-go sends both.
  let okTrailers: UnsafeMutablePointer<nghttp2_nv>
  let okTrailersCount = 2

  private init() {
    response = .allocate(capacity: 2)
    response[0] = Self.field(":status", "200")
    response[1] = Self.field("content-type", "application/grpc")
    okTrailers = .allocate(capacity: 2)
    okTrailers[0] = Self.field("grpc-status", "0")
    okTrailers[1] = Self.field("grpc-message", "")
  }

  static func field(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
    nghttp2_nv(
      name: UnsafeMutablePointer(mutating: name.utf8Start),
      value: UnsafeMutablePointer(mutating: value.utf8Start),
      namelen: name.utf8CodeUnitCount, valuelen: value.utf8CodeUnitCount,
      flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue))
  }
}

/// Header fields made for one occasion; nghttp2 copies them.
struct HeaderBlock {
  private var bytes: [UInt8] = []
  private var ranges: [(name: Range<Int>, value: Range<Int>, secret: Bool)] = []

  init() {}

  /// The end of a call, alone (`trailersOnly`, with an HTTP status) or after messages.
  init(status: String?, code: StatusCode, message: String, trailersOnly: Bool) {
    if let status { add(":status", Array(status.utf8)) }
    if trailersOnly { add("content-type", Array("application/grpc".utf8)) }
    add("grpc-status", Array(String(code.rawValue).utf8))
    add("grpc-message", percentEncoded(message))
  }

  /// - Parameter secret: kept out of the HPACK table, so that its bytes cannot be probed there.
  mutating func add(_ name: String, _ value: [UInt8], secret: Bool = false) {
    let start = bytes.count
    bytes.append(contentsOf: name.utf8)
    let middle = bytes.count
    bytes.append(contentsOf: value)
    ranges.append((start..<middle, middle..<bytes.count, secret))
  }

  func withFields<Result>(_ body: (UnsafePointer<nghttp2_nv>?, Int) -> Result) -> Result {
    // A base address must exist even for empty values.
    var copy = bytes
    copy.append(0)
    return copy.withUnsafeMutableBufferPointer { buffer in
      let fields = ranges.map { range in
        nghttp2_nv(
          name: buffer.baseAddress.map { $0 + range.name.lowerBound },
          value: buffer.baseAddress.map { $0 + range.value.lowerBound },
          namelen: range.name.count, valuelen: range.value.count,
          flags: UInt8((range.secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE).rawValue))
      }
      return fields.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }
  }
}

/// gRPC's encoding of a status message: bytes outside of printable ASCII, and `%`, become `%XX`. What goes beyond
/// 8 KiB is cut, because a header block has a limit with every peer.
func percentEncoded(_ message: String) -> [UInt8] {
  var result: [UInt8] = []
  result.reserveCapacity(message.utf8.count)
  let digits = Array("0123456789ABCDEF".utf8)
  for byte in message.utf8.prefix(8192) {
    if byte >= 0x20, byte <= 0x7e, byte != UInt8(ascii: "%") {
      result.append(byte)
    } else {
      result.append(UInt8(ascii: "%"))
      result.append(digits[Int(byte >> 4)])
      result.append(digits[Int(byte & 15)])
    }
  }
  return result
}

/// The inverse; what is no valid escape stays as it is.
func percentDecoded(_ bytes: UnsafeRawBufferPointer) -> String {
  func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte &- 0x30
    case 0x41...0x46: byte &- 0x41 &+ 10
    case 0x61...0x66: byte &- 0x61 &+ 10
    default: nil
    }
  }
  var result: [UInt8] = []
  result.reserveCapacity(bytes.count)
  var index = 0
  while index < bytes.count {
    if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]),
      let low = digit(bytes[index + 2])
    {
      result.append(high << 4 | low)
      index += 3
    } else {
      result.append(bytes[index])
      index += 1
    }
  }
  return String(decoding: result, as: UTF8.self)
}
