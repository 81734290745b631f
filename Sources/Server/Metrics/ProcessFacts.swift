internal import Glibc

/// What the kernel knows of this process.
struct ProcessFacts {
  /// User and system time.
  var cpuSeconds: Double?
  var residentBytes: Double?
  var virtualBytes: Double?
  /// Since 1970.
  var startSeconds: Double?
  var virtualBytesMax: Double?
  var openDescriptors: Int?
  var descriptorsMax: UInt64?

  static func read() -> ProcessFacts {
    var facts = ProcessFacts()
    facts.readStatus()
    facts.openDescriptors = countDescriptors()
    facts.descriptorsMax = limit(RLIMIT_NOFILE)
    facts.virtualBytesMax = limit(RLIMIT_AS).map(Double.init)
    return facts
  }

  /// /proc/self/stat: the fields behind the command's name, which is in parentheses and may hold any.
  private mutating func readStatus() {
    guard let text = Self.text("/proc/self/stat"), let close = text.lastIndex(of: ")") else { return }
    let fields = text[text.index(after: close)...].split(separator: " ")
    // By the numbers of proc(5), less the two that come before.
    func field(_ number: Int) -> Double? { number - 3 < fields.count ? Double(fields[number - 3]) : nil }
    let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
    if let user = field(14), let system = field(15) { cpuSeconds = (user + system) / ticksPerSecond }
    virtualBytes = field(23)
    residentBytes = field(24).map { $0 * Double(sysconf(Int32(_SC_PAGESIZE))) }
    if let start = field(22), let boot = Self.bootSeconds() { startSeconds = boot + start / ticksPerSecond }
  }

  private static func bootSeconds() -> Double? {
    for line in (text("/proc/stat") ?? "").split(separator: "\n") where line.hasPrefix("btime ") {
      return Double(line.dropFirst(6))
    }
    return nil
  }

  /// Memory of the process itself, without pages of files; nil where the kernel does not tell.
  static func anonymousBytes() -> UInt64? {
    for line in (text("/proc/self/status") ?? "").split(separator: "\n") where line.hasPrefix("RssAnon:") {
      return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { UInt64($0) }
        .map { $0 * 1024 }
    }
    return nil
  }

  private static func countDescriptors() -> Int? {
    guard let directory = opendir("/proc/self/fd") else { return nil }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) {
      if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
    }
    // Less the one that this took.
    return max(0, count - 1)
  }

  private static func limit(_ resource: __rlimit_resource) -> UInt64? {
    var limit = rlimit()
    return getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 ? UInt64(limit.rlim_cur) : nil
  }

  private static func text(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while bytes.count < 1 << 20 {
      let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { break }
      bytes += buffer[0..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
