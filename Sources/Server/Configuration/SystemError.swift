internal import Glibc

/// The system's texts as Go writes them: in small letters.
enum SystemError {
  static func text(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
  }
}
