public import Model
public import Primitives

/// The cursor of a RangeStream: one range, answered in chunks that are read at one revision while the store goes
/// on. Between chunks the caller renews the view or takes another one.
///
/// Chunk sizes follow etcd: 10 keys first, then twice as many while a chunk stays below half of the target size,
/// half as many when it exceeds twice the target.
public struct RangeStream: Sendable {
  public enum Step: Hashable, Sendable {
    /// A RangeResponse of key-values alone has been appended; more will follow.
    case chunk
    /// The last one has been appended, with `more` and `count`; its header has this revision.
    case last(headerRevision: Int64)
    case failure(ClientError)
  }

  private static let firstChunkKeys: Int64 = 10

  private let request: RangeRequest
  private let targetBytes: Int
  private var position: Position = .start
  private var chunkKeys = RangeStream.firstChunkKeys
  private var sent: Int64 = 0

  private enum Position: Sendable {
    case start
    /// The next chunk begins at `key`. `at` is the revision read at, `header` the store's when the stream began.
    case next(key: [UInt8], at: Int64, header: Int64)
    case ended
  }

  /// `request` has passed `validateForStream`; `targetBytes` is `--max-request-bytes`.
  public init(_ request: RangeRequest, targetBytes: Int) {
    self.request = request
    self.targetBytes = targetBytes
  }

  /// Appends the next chunk's RangeResponse, without a header. Not to be called after the last one or a failure.
  public mutating func next(in view: ReadView, body: inout ProtoWriter) throws(StoreError) -> Step {
    let start: [UInt8]
    let at: Int64
    let header: Int64
    switch position {
    case .ended: preconditionFailure("the stream has ended")
    case .next(let key, let pinned, let revision):
      // Compaction may have passed the pinned revision since the last chunk.
      if pinned < view.compactRevision {
        position = .ended
        return .failure(.compacted)
      }
      (start, at, header) = (key, pinned, revision)
    case .start:
      let point = ReadPoint(revision: view.revision, compactRevision: view.compactRevision)
      switch point.revision(for: request.revision) {
      case .failure(let error):
        position = .ended
        return .failure(error)
      case .success(let revision): (start, at, header) = (request.key, revision, point.revision)
      }
    }
    guard case .range(_, let to) = KeyInterval(key: request.key, rangeEnd: request.rangeEnd),
      !request.countOnly
    else { return try whole(at: at, header: header, in: view, body: &body) }
    return try chunk(from: start, to: to, at: at, header: header, in: view, body: &body)
  }

  /// A single key, an empty range or a count: one chunk.
  private mutating func whole(
    at: Int64, header: Int64, in view: ReadView, body: inout ProtoWriter
  ) throws(StoreError) -> Step {
    position = .ended
    var pinned = request
    pinned.revision = at
    switch try RangeEvaluator.range(pinned, in: view, body: &body) {
    case .success: return .last(headerRevision: header)
    case .failure(let error): return .failure(error)
    }
  }

  private mutating func chunk(
    from: [UInt8], to: KeyBound, at: Int64, header: Int64, in view: ReadView, body: inout ProtoWriter
  ) throws(StoreError) -> Step {
    let left = request.limit > 0 ? request.limit - sent : .max
    let before = body.count
    let listed = try RangeEvaluator.list(
      from: from, to: to, at: at, limit: min(chunkKeys, left), keysOnly: request.keysOnly, in: view,
      body: &body)
    sent += listed.count
    guard let next = listed.next, listed.count < left else {
      position = .ended
      let rest = try listed.next.map { (key) throws(StoreError) in
        try view.count(from: key, to: to, at: at)
      }
      body.appendRangeEnd(more: rest != nil, count: sent + (rest ?? 0))
      return .last(headerRevision: header)
    }
    adjust(toChunkBytes: body.count - before)
    position = .next(key: next, at: at, header: header)
    return .chunk
  }

  private mutating func adjust(toChunkBytes bytes: Int) {
    if bytes < targetBytes / 2 {
      chunkKeys = chunkKeys > .max / 2 ? .max : chunkKeys * 2
    } else if bytes / 2 > targetBytes {
      chunkKeys = max(1, chunkKeys / 2)
    }
  }
}
