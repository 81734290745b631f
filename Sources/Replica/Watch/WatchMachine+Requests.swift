internal import Model

// What clients ask for. Checks and their order are those of etcd's serverWatchStream.recvLoop and watchStream.Watch.

extension WatchMachine {
  /// A create request. `currentRevision` is that of the newest published view, `compactRevision` at the same time.
  public mutating func create(
    _ stream: WatchStreamID, _ create: WatchCreate, currentRevision: Int64, compactRevision: Int64,
    _ sink: inout some WatchSink
  ) {
    guard isOpen(stream) else { return }
    if watcherCount == 0 { beginFeed(at: currentRevision + 1) }
    revisionSeen = max(revisionSeen, currentRevision)
    let request = create.request
    // From here on the revision of the header, and "now".
    let revision = max(currentRevision, feedNext - 1)
    let (shape, key, end) = WatchTarget.named(by: request)
    if let refusal = refusal(stream, create, shape, key: key, end: end) {
      return sink.created(stream, watchID: -1, revision: revision, refusal: refusal)
    }
    let cursor = request.startRevision == 0 ? revision + 1 : request.startRevision
    let watchID = request.watchID == 0 ? takeWatchID(stream.slot) : request.watchID
    let slot = addWatcher(
      Watcher(
        stream: stream.slot, target: targets.obtain(shape, key: key, end: end), watchID: watchID,
        cursor: cursor, awaitsStart: request.startRevision != 0, state: .live, form: request.form,
        progressNotify: request.progressNotify))
    sink.created(stream, watchID: watchID, revision: revision, refusal: nil)
    if request.progressNotify { startTimer(stream) }
    if cursor >= feedNext {
      targetLinks.append(slot, to: &targets[watchers[Int(slot)].target].live)
      return
    }
    beginLagging(slot)
    if cursor < compactRevision {
      cancelCompacted(slot, compactRevision: compactRevision, &sink)
    } else {
      pump(&sink)
    }
  }

  private func refusal(
    _ stream: WatchStreamID, _ create: WatchCreate, _ shape: WatchTarget.Shape, key: [UInt8], end: [UInt8]
  ) -> String? {
    let request = create.request
    if request.startRevision < 0 { return ClientError.compacted.message }
    if let refusal = create.refusal { return refusal }
    if shape == .range, !key.lexicographicallyPrecedes(end) { return "mvcc: watcher range is empty" }
    if request.watchID != 0, findWatcher(stream.slot, request.watchID) != nil {
      return "mvcc: duplicate watch ID provided on the WatchStream"
    }
    if streams[Int(stream.slot)].watcherCount >= limits.watchersPerStream
      || watchers.count - freeWatchers.count >= limits.watchers
    {
      return ClientError.tooManyRequests.message
    }
    return nil
  }

  /// The least id not below the last automatic one that no watcher of the stream has.
  private mutating func takeWatchID(_ stream: UInt32) -> Int64 {
    while findWatcher(stream, streams[Int(stream)].nextWatchID) != nil {
      streams[Int(stream)].nextWatchID += 1
    }
    let watchID = streams[Int(stream)].nextWatchID
    streams[Int(stream)].nextWatchID += 1
    return watchID
  }

  /// A progress request. It is answered at once, or when no watcher of the stream lags any more; not at all while one lies
  /// in the future, and not if there is none. Requests that wait are answered together.
  public mutating func requestProgress(
    _ stream: WatchStreamID, currentRevision: Int64, _ sink: inout some WatchSink
  ) {
    guard isOpen(stream) else { return }
    revisionSeen = max(revisionSeen, currentRevision)
    let slot = Int(stream.slot)
    streams[slot].progressFrom = max(streams[slot].progressFrom, currentRevision + 1)
    if !streams[slot].awaitsProgress {
      streams[slot].awaitsProgress = true
      progressWaiters.append(stream)
    }
    settleProgress(&sink)
  }

  /// A cancel request; of an unknown watcher nothing is said.
  public mutating func cancel(
    _ stream: WatchStreamID, watchID: Int64, currentRevision: Int64, _ sink: inout some WatchSink
  ) {
    guard isOpen(stream), let slot = findWatcher(stream.slot, watchID) else { return }
    revisionSeen = max(revisionSeen, currentRevision)
    removeWatcher(slot)
    sink.cancelled(
      stream, watchID: watchID, revision: max(currentRevision, feedNext - 1), compactRevision: 0, reason: "")
    // It may have been what progress waited for.
    settleProgress(&sink)
  }
}

extension WatchCreateRequest {
  fileprivate var form: WatchForm {
    var form: WatchForm = []
    if filters.contains(Filter.noPut.rawValue) { form.insert(.noPut) }
    if filters.contains(Filter.noDelete.rawValue) { form.insert(.noDelete) }
    if previousKeyValue { form.insert(.previous) }
    if fragment { form.insert(.fragment) }
    return form
  }
}

extension WatchTarget {
  /// What a request means: an empty key is the least key, and an end of one zero byte means without end.
  fileprivate static func named(by request: WatchCreateRequest) -> (Shape, key: [UInt8], end: [UInt8]) {
    let key = request.key.isEmpty ? [0] : request.key
    if request.rangeEnd.isEmpty { return (.key, key, []) }
    return request.rangeEnd == [0] ? (.openEnded, key, []) : (.range, key, request.rangeEnd)
  }
}
