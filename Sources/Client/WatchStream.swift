internal import EtcdAPI
public import Model
internal import NIOCore
internal import Primitives
internal import Wire

/// Any number of watchers on one stream, which goes on after a lost connection where it was: each watcher asks again
/// for the revision after the last one it has heard of, so that nothing is lost and nothing comes twice.
///
/// Methods may be called from any thread; updates are heard on the client's event loop, one after the other, and the
/// next bytes are read only after they were taken: a slow listener slows the server down and costs no memory here.
/// State is confined to that loop (`@unchecked Sendable` for that reason alone).
public final class WatchStream: @unchecked Sendable {
  public struct WatcherID: Hashable, Sendable {
    let number: Int64
  }

  public enum Update: Hashable, Sendable {
    /// The watcher is there, and will hear of everything after this revision or from its start revision on. Told
    /// once, not again after a lost connection.
    case created(revision: Int64)
    /// Events of whole revisions, in order; `revision` is the server's at that time.
    case events([Event], revision: Int64)
    /// Everything up to this revision has been told.
    case progress(revision: Int64)
    /// The last word. Above 0, the compaction that removed what was asked for.
    case ended(ClientError, compactRevision: Int64)
  }

  public typealias Listener = @Sendable (Update) -> Void

  private struct Watcher {
    var options: WatchOptions
    var listener: Listener
    var isKnown = false
    /// Pieces of a response that has not ended.
    var pieces: [Event] = []
  }

  private let client: EtcdClient
  private var stream: ReconnectingCall?
  private var watchers: [Int64: Watcher] = [:]
  private var lastNumber: Int64 = 0
  /// Watchers whose creation has not been answered. The answers come in order, and a refusal names no watcher.
  private var unanswered: [Int64] = []
  private var isClosed = false

  public init(_ client: EtcdClient) {
    self.client = client
  }

  /// Adds a watcher. The listener keeps hearing until `ended`, `remove` or `close`.
  public func add(_ options: WatchOptions, listener: @escaping Listener) async throws -> WatcherID {
    try await client.eventLoop.submit { [self] in
      guard !isClosed else { throw ClientError(.cancelled, "watch stream is closed") }
      lastNumber += 1
      watchers[lastNumber] = Watcher(options: options, listener: listener)
      let stream = stream ?? ReconnectingCall(client, .watch, owner: self)
      self.stream = stream
      if stream.isOpen { create(lastNumber) } else { stream.open() }
      return WatcherID(number: lastNumber)
    }.get()
  }

  /// Removes a watcher; it hears nothing more.
  public func remove(_ id: WatcherID) {
    client.eventLoop.execute { [self] in
      guard watchers.removeValue(forKey: id.number) != nil else { return }
      sendCancel(id.number)
    }
  }

  /// Asks how far the stream has come: all its watchers hear `progress`, if the server answers. It does not while any
  /// watcher is behind or waits for a revision to come.
  public func requestProgress() {
    client.eventLoop.execute { [self] in stream?.send(framedField(3, [])) }
  }

  /// Ends the stream; no watcher hears anything more.
  public func close() {
    client.eventLoop.execute { [self] in
      isClosed = true
      watchers = [:]
      stream?.close()
      stream = nil
    }
  }

  private func create(_ number: Int64) {
    guard let watcher = watchers[number] else { return }
    unanswered.append(number)
    stream?.send(watcher.options.createMessage(id: number))
  }

  private func sendCancel(_ number: Int64) {
    var writer = ProtoWriter()
    writer.int64(1, number)
    stream?.send(framedField(2, writer.bytes))
  }

  // MARK: Responses

  private func take(_ response: WatchResponse) {
    if response.isCreated {
      let number = unanswered.isEmpty ? response.watchID : unanswered.removeFirst()
      if response.isCanceled { return end(number, response) }
      return created(number, response)
    }
    if response.isCanceled { return end(response.watchID, response) }
    if response.events.isEmpty, !response.isFragment { return progress(response) }
    guard var watcher = watchers[response.watchID] else { return }
    watcher.pieces += response.events
    guard !response.isFragment else {
      watchers[response.watchID] = watcher
      return
    }
    let events = watcher.pieces
    watcher.pieces = []
    if let last = events.last { watcher.options.startRevision = last.keyValue.modRevision + 1 }
    watchers[response.watchID] = watcher
    watcher.listener(.events(events, revision: response.header.revision))
  }

  private func created(_ number: Int64, _ response: WatchResponse) {
    // Removed before it was there: the server had not known it when it was told.
    guard var watcher = watchers[number] else { return sendCancel(number) }
    // From now on, also after the next lost connection, when that now will be past.
    if watcher.options.startRevision == 0 { watcher.options.startRevision = response.header.revision + 1 }
    let isNew = !watcher.isKnown
    watcher.isKnown = true
    watchers[number] = watcher
    if isNew { watcher.listener(.created(revision: response.header.revision)) }
  }

  private func end(_ number: Int64, _ response: WatchResponse) {
    guard let watcher = watchers.removeValue(forKey: number) else { return }
    let error: ClientError =
      if response.compactRevision > 0 {
        .compacted
      } else {
        ClientError(.cancelled, response.cancelReason.isEmpty ? "watch canceled" : response.cancelReason)
      }
    watcher.listener(.ended(error, compactRevision: response.compactRevision))
  }

  private func progress(_ response: WatchResponse) {
    let revision = response.header.revision
    let numbers = response.watchID == -1 ? watchers.keys.sorted() : [response.watchID]
    for number in numbers {
      guard var watcher = watchers[number] else { continue }
      watcher.options.startRevision = max(watcher.options.startRevision, revision + 1)
      watchers[number] = watcher
      watcher.listener(.progress(revision: revision))
    }
  }
}

extension WatchStream: ReconnectingCallOwner {
  func opened(_ call: ReconnectingCall) {
    unanswered = []
    for number in watchers.keys.sorted() {
      // Half a revision is told again as a whole.
      watchers[number]?.pieces = []
      create(number)
    }
  }

  func received(_ message: UnsafeRawBufferPointer) {
    do {
      take(try WatchResponse(decoding: message))
    } catch {
      refused(ClientError(.internal, "grpc: failed to unmarshal the received message: \(error)"))
    }
  }

  func refused(_ error: ClientError) {
    stream?.close()
    stream = nil
    let refused = watchers
    watchers = [:]
    for number in refused.keys.sorted() {
      refused[number]?.listener(.ended(error, compactRevision: 0))
    }
  }
}
