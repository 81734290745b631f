import Model
import Wire

/// Waits until all keys under a prefix that were created up to a revision are deleted: one's turn in the queue.
///
/// It watches only the youngest of them, so that a deletion wakes one who waits and not all. Confined to its event loop.
final class QueueWait: @unchecked Sendable {
  private let front: LoopFrontend
  private let call: RPCCall
  private let prefix: [UInt8]
  private let revisionMax: Int64
  private var completion: LocalCompletion<Void>?
  private var watch: LocalWatch?

  init(_ front: LoopFrontend, _ call: RPCCall, prefix: [UInt8], createdUpTo revisionMax: Int64) {
    self.front = front
    self.call = call
    self.prefix = prefix
    self.revisionMax = revisionMax
  }

  func start(_ completion: @escaping LocalCompletion<Void>) {
    self.completion = completion
    look()
  }

  /// Gives up; the completion is not called.
  func cancel() {
    completion = nil
    watch?.cancel()
    watch = nil
  }

  private func look() {
    front.read(SessionKey.youngest(prefix, createdUpTo: revisionMax), for: call) { [self] outcome in
      guard completion != nil else { return }
      switch outcome {
      case .failure(let error): finish(.failure(error))
      case .success(let range):
        guard let last = range.keyValues.first else { return finish(.success(())) }
        // From the revision of the read on: a deletion since then is heard of as well.
        waitForDeletion(of: last.key, from: range.revision)
      }
    }
  }

  private func waitForDeletion(of key: [UInt8], from revision: Int64) {
    watch = front.watch(key: key, from: revision) { [self] notice in
      switch notice {
      case .created: break
      case .events(let events, _):
        guard events.contains(where: { $0.kind == .delete }) else { return }
        watch?.cancel()
        watch = nil
        look()
      case .compacted: finish(.failure(.compacted))
      case .failed(let error): finish(.failure(error))
      }
    }
    if watch == nil { finish(.failure(.tooManyRequests)) }
  }

  private func finish(_ outcome: Result<Void, ClientError>) {
    let completion = self.completion
    cancel()
    completion?(outcome)
  }
}
