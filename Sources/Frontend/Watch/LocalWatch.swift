import Model
import NIOCore
import Replica
import Wire

/// What a watcher inside the member is told.
enum LocalWatchNotice {
  /// The watch began; the store was at this revision.
  case created(revision: Int64)
  /// Events in order, all of each revision together; the header's revision.
  case events([Event], revision: Int64)
  /// The revision to begin at is compacted; the watch has ended.
  case compacted(revision: Int64)
  /// The watch has ended.
  case failed(ClientError)
}

/// A watch for services of the member itself (locks, elections): same machine, same guarantees, no wire.
///
/// Confined to its event loop. It goes on until `cancel` or a notice that ends it.
final class LocalWatch {
  private var handler: ((LocalWatchNotice) -> Void)?
  private let service: WatchService
  fileprivate var id: WatchStreamID?

  fileprivate init(_ service: WatchService, _ handler: @escaping (LocalWatchNotice) -> Void) {
    self.service = service
    self.handler = handler
  }

  /// Ends the watch; the handler is not called again.
  func cancel() {
    handler = nil
    guard let id else { return }
    self.id = nil
    service.close(id)
  }

  func take(_ notice: LocalWatchNotice) {
    guard let handler else { return }
    switch notice {
    case .created, .events: handler(notice)
    case .compacted, .failed:
      cancel()
      handler(notice)
    }
  }
}

extension LoopFrontend {
  /// Watches a key (or a range, as a request would name it) from a revision on (0: from now on) on this event loop. The
  /// handler is called on the loop and never before this returns; nil when there are too many streams.
  func watch(
    key: [UInt8], rangeEnd: [UInt8] = [], from revision: Int64 = 0,
    _ handler: @escaping (LocalWatchNotice) -> Void
  ) -> LocalWatch? {
    let watch = LocalWatch(watches, handler)
    guard let id = watches.open(.local(watch)) else { return nil }
    watch.id = id
    var request = WatchCreateRequest()
    request.key = key
    request.rangeEnd = rangeEnd
    request.startRevision = revision
    // In a turn of its own: the caller has the watch in hand before its handler is called.
    eventLoop.execute { [request] in self.watches.create(id, request) }
    return watch
  }
}
