internal import Glibc
internal import Synchronization

/// A log file that is set aside when it is full, as etcd's lumberjack does it.
///
/// Safe on all threads. What is done with old files happens on a thread of its own; a line never waits for it.
final class RotatingFile: Sendable {
  private struct State {
    var descriptor: Int32
    var sizeBytes: Int
    /// One thread works through the old files; it looks again when another file was set aside meanwhile.
    var isTidying = false
    var tidiesAgain = false
  }

  private let path: String
  private let rotation: LogRotation
  private let clock: @Sendable () -> LogTimestamp
  private let state: Mutex<State>

  init(
    path: String, rotation: LogRotation,
    clock: @escaping @Sendable () -> LogTimestamp = { LogTimestamp.now() }
  ) throws(ConfigurationError) {
    self.path = path
    self.rotation = rotation
    self.clock = clock
    let descriptor = try LogOutput.openForAppending(path)
    state = Mutex(State(descriptor: descriptor, sizeBytes: Self.size(descriptor)))
    startTidying()
  }

  deinit { close(state.withLock { $0.descriptor }) }

  func write(_ line: [UInt8]) {
    let wasSetAside = state.withLock { state in
      var wasSetAside = false
      if state.sizeBytes > 0, state.sizeBytes + line.count > rotation.sizeBytesMax {
        wasSetAside = setAside(&state)
      }
      LogOutput.write(line, to: state.descriptor)
      state.sizeBytes += line.count
      return wasSetAside
    }
    if wasSetAside { startTidying() }
  }

  /// Renames the file and begins a new one. Where that fails, the old one goes on: its lines matter more than its size.
  private func setAside(_ state: inout State) -> Bool {
    let now = clock()
    let name = RotatedName(of: Self.lastPart(path)).name(
      at: rotation.usesLocalTime ? now.inLocalTime : now)
    guard rename(path, Self.folder(path) + name) == 0 else { return false }
    guard let descriptor = try? LogOutput.openForAppending(path) else { return false }
    close(state.descriptor)
    state.descriptor = descriptor
    state.sizeBytes = Self.size(descriptor)
    return true
  }

  private func startTidying() {
    guard rotation.backupsMax > 0 || rotation.ageDaysMax > 0 || rotation.compresses else { return }
    let starts = state.withLock { state in
      state.tidiesAgain = true
      defer { state.isTidying = true }
      return !state.isTidying
    }
    if starts { _ = OSThread(name: "cairn-logs") { self.tidy() } }
  }

  private func tidy() {
    while state.withLock({ state in
      defer { state.tidiesAgain = false }
      state.isTidying = state.tidiesAgain
      return state.tidiesAgain
    }) {
      OldLogFiles(path: path, rotation: rotation).tidy(now: clock())
    }
  }

  private static func size(_ descriptor: Int32) -> Int {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
  }

  static func lastPart(_ path: String) -> String {
    String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
  }

  /// With its slash; empty for a name alone.
  static func folder(_ path: String) -> String {
    String(path[..<(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)])
  }
}
