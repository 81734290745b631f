import Glibc

extension UnsafeRawBufferPointer {
  /// Byte equality through memcmp.
  func elementsAreEqual(_ other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard count > 0, let a = baseAddress, let b = other.baseAddress else { return true }
    return memcmp(a, b, count) == 0
  }

  /// Byte equality with a literal.
  func equals(_ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount
      && (count == 0 || baseAddress.map { memcmp($0, text.utf8Start, count) == 0 } == true)
  }

  /// Whether the first bytes are those of a literal.
  func starts(with text: StaticString) -> Bool {
    count >= text.utf8CodeUnitCount
      && UnsafeRawBufferPointer(rebasing: self[0..<text.utf8CodeUnitCount]).equals(text)
  }
}

/// Text quoted as Go's `%q` does, for messages that must read like grpc-go's.
func goQuoted(_ bytes: UnsafeRawBufferPointer) -> String {
  var text = "\""
  for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
    switch scalar {
    case "\"": text += "\\\""
    case "\\": text += "\\\\"
    case "\n": text += "\\n"
    case "\r": text += "\\r"
    case "\t": text += "\\t"
    case _ where scalar.value < 0x20 || scalar.value == 0x7f:
      let hex = String(scalar.value, radix: 16)
      text += "\\x" + (hex.count < 2 ? "0" : "") + hex
    default: text.unicodeScalars.append(scalar)
    }
  }
  return text + "\""
}
