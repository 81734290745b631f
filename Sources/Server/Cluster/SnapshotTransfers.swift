internal import Disk
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Node
internal import PeerTransport
internal import Synchronization

/// Snapshot files on their way to and from other members. Their bytes pass through a pool of threads, a piece at a time, at
/// the pace of the slower end.
///
/// What goes over the wire behind the leader's message is the size of the file, eight bytes big-endian, and the file.
final class SnapshotTransfers: Sendable {
  static let sizeBytes = 8
  /// Where a member says that it reads snapshots, and of which form.
  static let questionPath = "/cairn/snapshot"
  static let form = "1"
  private static let questionNanoseconds: Int64 = 5_000_000_000
  private static let pauseAfterRefusal: TimeAmount = .seconds(30)

  private let place: SnapshotPlace
  private let clusterID: UInt64
  private let pool: NIOThreadPool
  private let state = Mutex(State())

  private struct State {
    /// Snapshots that are complete, until their message is delivered, by sender.
    var arrived: [UInt64: ReceivedSnapshot] = [:]
    /// By receiver, oldest first.
    var sending: [UInt64: [OutgoingSnapshot]] = [:]
    var receivers: UInt64 = 0
  }

  init(place: SnapshotPlace, clusterID: UInt64, pool: NIOThreadPool) {
    self.place = place
    self.clusterID = clusterID
    self.pool = pool
  }

  // MARK: Receiving

  /// From the peers' event loop.
  func receive(_ message: Message) -> (any SnapshotSink)? {
    guard let eventLoop = MultiThreadedEventLoopGroup.currentEventLoop else { return nil }
    let number = state.withLock { state in
      state.receivers += 1
      return state.receivers
    }
    return IncomingSnapshot(
      message, place: place, clusterID: clusterID, number: number, pool: pool, eventLoop: eventLoop
    ) { [self] received in
      let replaced = state.withLock { state in
        let before = state.arrived[message.from]
        state.arrived[message.from] = received
        return before
      }
      // Its message never came; another of the same state has the same file.
      if let replaced, replaced.path != received.path { try? place.disk.remove(replaced.path) }
    }
  }

  /// The snapshot that a delivered message is about.
  func arrival(of message: Message) -> ReceivedSnapshot? {
    guard message.kind == .snapshot else { return nil }
    return state.withLock { $0.arrived.removeValue(forKey: message.from) }
  }

  // MARK: Sending

  /// To a member that says it can read it: an etcd would take the file for a database of its own, and end over it.
  func send(
    _ snapshot: OutgoingSnapshot, to urls: [PeerURL], over transport: PeerTransport,
    _ inbox: Inbox<NodeInput>, refused: @escaping @Sendable (String) -> Void
  ) {
    transport.eventLoop.execute {
      transport.client.firstAnswer(
        "GET", urls, path: Self.questionPath, timeout: Self.questionNanoseconds
      ).whenComplete { result in
        switch result {
        case .success(let answer) where String(decoding: answer.body, as: UTF8.self) == Self.form:
          return self.send(snapshot, over: transport, inbox)
        case .success: refused("the member reads another form of snapshots")
        case .failure(PeerHTTPError.status(404, _)):
          refused("the member is no cairn: it cannot read the snapshots of one")
        case .failure(let error):
          refused("the member does not say which snapshots it reads: \(error)")
          return inbox.push(.snapshotSent(snapshot, succeeded: false))
        }
        // Once it is reported, Raft asks for a new file at once; that would be for nothing as well.
        _ = transport.eventLoop.scheduleTask(in: Self.pauseAfterRefusal) {
          inbox.push(.snapshotSent(snapshot, succeeded: false))
        }
      }
    }
  }

  private func send(
    _ snapshot: OutgoingSnapshot, over transport: PeerTransport, _ inbox: Inbox<NodeInput>
  ) {
    do throws(DiskError) {
      let source = OutgoingFile(
        try place.disk.open(snapshot.path, .read), bytes: snapshot.bytes, pool: pool,
        eventLoop: transport.eventLoop)
      state.withLock { $0.sending[snapshot.message.to, default: []].append(snapshot) }
      transport.sendSnapshot(snapshot.message, from: source)
    } catch {
      inbox.push(.snapshotSent(snapshot, succeeded: false))
    }
  }

  /// The oldest snapshot that was being sent to a member.
  func finished(to peer: UInt64) -> OutgoingSnapshot? {
    state.withLock { state in
      guard var sending = state.sending[peer], !sending.isEmpty else { return nil }
      let first = sending.removeFirst()
      state.sending[peer] = sending.isEmpty ? nil : sending
      return first
    }
  }
}

/// A file that is read a piece at a time as the network takes it.
private final class OutgoingFile: SnapshotSource, @unchecked Sendable {
  // Sendable by proof: one call at a time, and each waits for the last one's future; the lock is for `close`.
  private struct State {
    var file: (any DiskFile)?
    var offset = 0
  }

  private static let pieceBytes = 256 << 10

  private let lock = Mutex<Void>(())
  private var state: State
  private let bytes: Int
  private let pool: NIOThreadPool
  private let eventLoop: any EventLoop

  init(_ file: any DiskFile, bytes: Int, pool: NIOThreadPool, eventLoop: any EventLoop) {
    state = State(file: file)
    self.bytes = bytes
    self.pool = pool
    self.eventLoop = eventLoop
  }

  func next() -> EventLoopFuture<ByteBuffer?> {
    pool.runIfActive(eventLoop: eventLoop) { try self.lock.withLock { _ in try self.read() } }
  }

  private func read() throws -> ByteBuffer? {
    guard let file = state.file else { throw ChannelError.ioOnClosedChannel }
    var piece = ByteBuffer()
    if state.offset == 0 { piece.writeInteger(UInt64(bytes)) }
    let wanted = min(Self.pieceBytes, bytes - state.offset)
    guard wanted > 0 || piece.readableBytes > 0 else { return nil }
    let offset = state.offset
    let count = try piece.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { buffer in
      try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
    }
    // A file that ends early is for the receiver to refuse: its size was announced.
    guard count == wanted else { throw ChannelError.eof }
    state.offset += count
    return piece
  }

  func close() {
    lock.withLock { _ in
      state.file?.close()
      state.file = nil
    }
  }
}

/// A snapshot that a leader streams: its size, then its file.
private final class IncomingSnapshot: SnapshotSink, @unchecked Sendable {
  // Sendable by proof: `state` is touched with the lock held.
  private enum State {
    case size([UInt8])
    case file(SnapshotReceiver)
    case ended
  }

  private let lock = Mutex<Void>(())
  private var state = State.size([])
  private let message: Message
  private let place: SnapshotPlace
  private let clusterID: UInt64
  private let number: UInt64
  private let pool: NIOThreadPool
  private let eventLoop: any EventLoop
  private let arrived: @Sendable (ReceivedSnapshot) -> Void

  init(
    _ message: Message, place: SnapshotPlace, clusterID: UInt64, number: UInt64, pool: NIOThreadPool,
    eventLoop: any EventLoop, arrived: @escaping @Sendable (ReceivedSnapshot) -> Void
  ) {
    self.message = message
    self.place = place
    self.clusterID = clusterID
    self.number = number
    self.pool = pool
    self.eventLoop = eventLoop
    self.arrived = arrived
  }

  func write(_ piece: ByteBuffer) -> EventLoopFuture<Void> {
    pool.runIfActive(eventLoop: eventLoop) { try self.lock.withLock { _ in try self.take(piece) } }
  }

  private func take(_ piece: ByteBuffer) throws {
    var piece = piece
    if case .size(var bytes) = state {
      let missing = SnapshotTransfers.sizeBytes - bytes.count
      bytes += piece.readBytes(length: min(piece.readableBytes, missing)) ?? []
      state = .size(bytes)
      guard bytes.count == SnapshotTransfers.sizeBytes else { return }
      let size = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard size > 0 else {
        // The number of the first page of a bbolt file, or nothing.
        throw SnapshotReceiveError.mismatch(
          reason: "it is empty, or the database of an etcd, which a cairn cannot take over while it runs")
      }
      // Nothing is set aside for it; the disk is what bounds it.
      guard let expected = Int(exactly: size) else {
        throw SnapshotReceiveError.mismatch(reason: "no file has \(size) bytes")
      }
      state = .file(
        try SnapshotReceiver(
          place: place, message: message, clusterID: clusterID, bytesExpected: expected, number: number))
    }
    guard case .file(let receiver) = state else { throw ChannelError.ioOnClosedChannel }
    try piece.withUnsafeReadableBytes { try receiver.append($0) }
  }

  func finish() -> EventLoopFuture<Void> {
    pool.runIfActive(eventLoop: eventLoop) {
      let received = try self.lock.withLock { _ in
        guard case .file(let receiver) = self.state else {
          throw SnapshotReceiveError.mismatch(reason: "it has no size")
        }
        self.state = .ended
        do throws(SnapshotReceiveError) { return try receiver.finish() } catch {
          receiver.abandon()
          throw error
        }
      }
      self.arrived(received)
    }
  }

  func abort() {
    // Beside the event loop, which must not wait for a piece that is being written.
    pool.submit { _ in
      self.lock.withLock { _ in
        if case .file(let receiver) = self.state { receiver.abandon() }
        self.state = .ended
      }
    }
  }
}
