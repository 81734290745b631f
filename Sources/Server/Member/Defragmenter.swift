internal import Frontend
internal import Model
internal import Store
internal import Synchronization

/// Between who asks for a defragmentation and the committer's thread: log lines, and what the health service says
/// meanwhile. Any thread. Requests that come while one runs share it.
final class Defragmenter: Sendable {
  private let committer: CommitterThread
  private let gauge: MemberGauge
  private let logger: Logger
  /// The gate StopGRPCServiceOnDefrag.
  private let stopsService: Bool
  private let state = Mutex(State())

  private struct State {
    var running = 0
    var fronts: FrontendGroup?
  }

  init(_ committer: CommitterThread, gauge: MemberGauge, logger: Logger, stopsService: Bool) {
    self.committer = committer
    self.gauge = gauge
    self.logger = logger
    self.stopsService = stopsService
  }

  /// Who is told when the health service has something new to say. Once, before anyone asks.
  func serve(_ fronts: FrontendGroup) { state.withLock { $0.fronts = fronts } }

  /// Calls `completion` on the committer's thread, with the reason if the file is as it was.
  func request(_ completion: @escaping @Sendable (ClientError?) -> Void) {
    change(by: 1)
    committer.defragment { [self] outcome in
      change(by: -1)
      switch outcome {
      case .success: completion(nil)
      case .failure(let error): completion(ClientError(.unknown, "etcdserver: \(error)"))
      case nil: completion(.serverStopped)
      }
    }
  }

  /// Defragments before clients are served if that frees at least so many megabytes (0: never), and waits for it.
  func requestAtStart(_ store: Store, freeMegabytesMin: UInt64) throws(StoreError) {
    guard freeMegabytesMin > 0 else { return }
    let sizes = try store.sizes()
    let free = sizes.databaseBytes - sizes.databaseInUseBytes
    guard UInt64(max(0, free)) >> 20 >= freeMegabytesMin else {
      return logger.info(
        "Skipping defragmentation",
        [
          "current-db-size-bytes": .integer(sizes.databaseBytes),
          "current-db-size-in-use-bytes": .integer(sizes.databaseInUseBytes),
          "bootstrap-defrag-threshold-megabytes": .unsigned(freeMegabytesMin),
        ])
    }
    let ends = Inbox<Void>()
    // A failure is in the log, and the member goes on with the file it has.
    request { _ in ends.push(()) }
    var end: [Void] = []
    while end.isEmpty { _ = ends.drain(into: &end, until: .max) }
  }

  private func change(by step: Int) {
    let (isRunning, fronts): (Bool?, FrontendGroup?) = state.withLock { state in
      let was = state.running > 0
      state.running += step
      let isRunning = state.running > 0
      guard isRunning != was else { return (nil, nil) }
      if stopsService { gauge.isServing.store(!isRunning, ordering: .releasing) }
      return (isRunning, state.fronts)
    }
    guard let isRunning else { return }
    logger.info(isRunning ? "starting defragment" : "finished defragment")
    if stopsService { fronts?.servingChanged() }
  }
}
