internal import Glibc

/// SIGINT and SIGTERM, taken by the main thread in its own time instead of interrupting another one.
enum StopSignals {
  private static func set() -> sigset_t {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    return signals
  }

  /// Must come before any thread is started: threads inherit the mask. A closed socket must not end the process
  /// either.
  static func block() {
    var signals = set()
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    signal(SIGPIPE, SIG_IGN)
  }

  /// Waits for one of them.
  static func wait() -> Int32 {
    var signals = set()
    var received: Int32 = 0
    while sigwait(&signals, &received) != 0 {}
    return received
  }

  /// Ends the process by the signal that stopped it, so that a shell sees 130 or 143; as the first process of a
  /// container, which signals cannot end, with exit code 0.
  static func endProcess(by received: Int32) -> Never {
    if getpid() == 1 { exit(0) }
    signal(received, SIG_DFL)
    var signals = set()
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    raise(received)
    exit(128 + received)
  }

  static func name(_ received: Int32) -> String { received == SIGINT ? "interrupt" : "terminated" }
}
