internal import CPrimitives
internal import Glibc

/// A thread of the operating system that runs one stage from start to end. LMDB write transactions must begin and
/// end on one thread, which tasks and pools do not promise.
struct OSThread {
  private let handle: pthread_t

  private final class Start {
    let name: String
    let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// Starts a thread; `name` (at most 15 bytes) shows in tools.
  init(name: String, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stackBytes)
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(name, body))
    let outcome = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        cairn_name_thread(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    precondition(outcome == 0, "the system refused a thread at start")
    handle = thread
  }

  func join() { pthread_join(handle, nil) }
}
