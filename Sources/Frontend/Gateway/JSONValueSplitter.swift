/// Cuts a body into the JSON objects it consists of, one after another, as its bytes come in.
///
/// It looks at braces and strings only; what an object holds is the decoder's business, which is handed none that nests
/// deeper than it goes.
struct JSONValueSplitter {
  enum Fault: Error, Equatable {
    /// Something other than an object begins here.
    case unexpected(UInt8)
    case tooDeep
    case tooLarge
  }

  private let bytesMax: Int
  private var pending: [UInt8] = []
  /// Where in `pending` the value begins that is looked at; what lies before it was taken or dropped.
  private var start = 0
  /// Bytes of `pending` that were looked at.
  private var seen = 0
  private var depth = 0
  private var isInString = false
  private var isEscaped = false

  /// Levels of arrays and objects.
  static let depthMax = 200

  init(bytesMax: Int) {
    self.bytesMax = bytesMax
  }

  /// Whether a value has begun and not ended.
  var isInValue: Bool { depth > 0 }

  mutating func append(_ bytes: some Sequence<UInt8>) {
    // Once for all values of the piece before, so that many small ones cost no more than a large one.
    pending.removeSubrange(..<start)
    seen -= start
    start = 0
    pending.append(contentsOf: bytes)
  }

  /// The next complete object, or nil until more bytes come. Let go of it before `append`, which would copy otherwise.
  mutating func next() throws(Fault) -> ArraySlice<UInt8>? {
    while seen < pending.count {
      let byte = pending[seen]
      if depth == 0 {
        guard try begin(byte) else { continue }
      }
      seen += 1
      if seen - start > bytesMax { throw .tooLarge }
      if try ends(byte) { return take() }
    }
    return nil
  }

  /// False when the byte was white space, which is dropped.
  private mutating func begin(_ byte: UInt8) throws(Fault) -> Bool {
    switch byte {
    case 0x20, 0x09, 0x0a, 0x0d:
      seen += 1
      start = seen
      return false
    case UInt8(ascii: "{"): return true
    default: throw .unexpected(byte)
    }
  }

  private mutating func ends(_ byte: UInt8) throws(Fault) -> Bool {
    if isInString {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isInString = false
      }
      return false
    }
    switch byte {
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      depth += 1
      if depth > Self.depthMax { throw .tooDeep }
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      depth -= 1
      return depth == 0
    default: break
    }
    return false
  }

  private mutating func take() -> ArraySlice<UInt8> {
    let value = pending[start..<seen]
    start = seen
    return value
  }
}

extension JSONValueSplitter.Fault {
  /// In the words of Go's decoder, where it has any.
  var text: String {
    switch self {
    case .unexpected(let byte):
      switch byte {
      case 0x20...0x7e: "invalid character '\(Character(UnicodeScalar(byte)))' looking for beginning of value"
      default: "invalid character '\\x\(String(byte, radix: 16))' looking for beginning of value"
      }
    case .tooDeep: "exceeded max depth"
    case .tooLarge: "the body is too large"
    }
  }
}
