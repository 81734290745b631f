import Model
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@testable import PeerTransport

/// One transport with its listener on loopback, and all that its callbacks said.
final class TestMember: Sendable {
  struct Seen: Sendable {
    var messages: [Message] = []
    var outstandingBytes = 0
    var outstandingBytesMax = 0
    var unreachable: [UInt64] = []
    var snapshots: [Bool] = []
    var notices: [PeerNotice] = []
  }

  static let cluster: UInt64 = 0xabc
  let id: UInt64
  let transport: PeerTransport
  let port: Int
  private let box: Box

  /// Filled in once the transport is there.
  final class Box: Sendable {
    let seen = Mutex(Seen())
    let transport = Mutex<PeerTransport?>(nil)
    let consumes = Mutex(true)
    let onMessages = Mutex<(@Sendable ([Message]) -> Void)?>(nil)
    let sink = Mutex<CountingSink?>(nil)
  }

  init(
    id: UInt64, cluster: UInt64 = TestMember.cluster, removed: Set<UInt64> = [],
    limits: PeerLimits = PeerLimits(), timeouts: PeerTimeouts = PeerTimeouts(unchecked: 2000)
  ) throws {
    self.id = id
    let box = Box()
    self.box = box
    var configuration = PeerTransport.Configuration(
      identity: PeerIdentity(memberID: id, clusterID: cluster, peerURLs: [], version: "3.7.1"))
    configuration.limits = limits
    configuration.timeouts = timeouts
    configuration.removedMembers = removed
    let callbacks = PeerCallbacks(
      received: { batch in
        box.seen.withLock { seen in
          seen.messages += batch.messages
          seen.outstandingBytes += batch.bytes
          seen.outstandingBytesMax = max(seen.outstandingBytesMax, seen.outstandingBytes)
        }
        box.onMessages.withLock { $0 }?(batch.messages)
        if box.consumes.withLock({ $0 }) {
          box.seen.withLock { $0.outstandingBytes -= batch.bytes }
          box.transport.withLock { $0 }?.consumed(bytes: batch.bytes)
        }
      },
      unreachable: { id in box.seen.withLock { $0.unreachable.append(id) } },
      snapshotFinished: { _, succeeded in box.seen.withLock { $0.snapshots.append(succeeded) } },
      receiveSnapshot: { _ in box.sink.withLock { $0 } },
      answer: { request, eventLoop in
        let body = "\(request.method) \(request.path) \(request.body.count)"
        return eventLoop.makeSucceededFuture(PeerResponse(body: Array(body.utf8)))
      },
      notice: { notice in box.seen.withLock { $0.notices.append(notice) } })
    transport = PeerTransport(configuration, callbacks: callbacks)
    box.transport.withLock { [transport] in $0 = transport }
    port = try transport.listen(host: "127.0.0.1", port: 0).wait()?.port ?? 0
  }

  var url: PeerURL {
    get throws { try #require(PeerURL("http://127.0.0.1:\(port)")) }
  }

  var now: Seen { box.seen.withLock { $0 } }
  func onMessages(_ body: @escaping @Sendable ([Message]) -> Void) { box.onMessages.withLock { $0 = body } }
  func takeSnapshots(in sink: CountingSink) { box.sink.withLock { $0 = sink } }

  /// Stops to report messages as consumed, or does so for all that were not.
  func consume(_ consumes: Bool) {
    box.consumes.withLock { $0 = consumes }
    guard consumes else { return }
    let bytes = box.seen.withLock { seen in
      defer { seen.outstandingBytes = 0 }
      return seen.outstandingBytes
    }
    transport.consumed(bytes: bytes)
  }

  func stop() throws {
    box.transport.withLock { $0 = nil }
    try transport.stop().wait()
  }
}

/// Waits for a condition, at most half a minute.
func wait(_ what: Comment, until condition: () throws -> Bool) throws {
  let end = NIODeadline.now() + .seconds(30)
  while try !condition() {
    guard NIODeadline.now() < end else {
      Issue.record(what)
      throw CancellationError()
    }
    Thread.sleep(milliseconds: 2)
  }
}

enum Thread {
  static func sleep(milliseconds: Int) {
    _ = try? MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .milliseconds(Int64(milliseconds)))
    {}
    .futureResult.wait()
  }
}

/// The places of a long stream whose bytes are compared.
enum Samples {
  static func offsets(_ range: Range<Int>) -> StrideTo<Int> {
    stride(from: (range.lowerBound + step - 1) / step * step, to: range.upperBound, by: step)
  }
  private static let step = 4093
}

/// Counts what it is given, and holds each piece for a while.
final class CountingSink: SnapshotSink {
  let bytes = Mutex(0)
  let largestPiece = Mutex(0)
  let sum = Mutex<UInt64>(0)
  let outcome = Mutex("")
  private let group = MultiThreadedEventLoopGroup.singleton
  private let delay: TimeAmount

  private let finishDelay: TimeAmount

  init(delay: TimeAmount = .nanoseconds(0), finishDelay: TimeAmount = .nanoseconds(0)) {
    self.delay = delay
    self.finishDelay = finishDelay
  }

  func write(_ piece: ByteBuffer) -> EventLoopFuture<Void> {
    let first = bytes.withLock { bytes in
      defer { bytes += piece.readableBytes }
      return bytes
    }
    sum.withLock { sum in
      for offset in Samples.offsets(first..<first + piece.readableBytes) {
        let byte = piece.getInteger(at: piece.readerIndex + offset - first, as: UInt8.self) ?? 0
        sum = sum &* 31 &+ UInt64(byte)
      }
    }
    largestPiece.withLock { $0 = max($0, piece.readableBytes) }
    return group.next().scheduleTask(in: delay) {}.futureResult
  }

  func finish() -> EventLoopFuture<Void> {
    outcome.withLock { $0 = "finished" }
    return group.next().scheduleTask(in: finishDelay) {}.futureResult
  }

  func abort() { outcome.withLock { $0 = "aborted" } }
}

/// Gives so many bytes in pieces.
final class CountingSource: SnapshotSource {
  private let left: Mutex<Int>
  let given = Mutex(0)
  let sum = Mutex<UInt64>(0)
  let isClosed = Mutex(false)
  private let pieceBytes: Int

  init(bytes: Int, pieceBytes: Int = 64 << 10) {
    left = Mutex(bytes)
    self.pieceBytes = pieceBytes
  }

  func next() -> EventLoopFuture<ByteBuffer?> {
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    let count = left.withLock { left in
      let count = min(left, pieceBytes)
      left -= count
      return count
    }
    guard count > 0 else { return eventLoop.makeSucceededFuture(nil) }
    let first = given.withLock { given in
      defer { given += count }
      return given
    }
    let value = UInt8(truncatingIfNeeded: first / 1000)
    sum.withLock { sum in
      for _ in Samples.offsets(first..<first + count) { sum = sum &* 31 &+ UInt64(value) }
    }
    let piece = ByteBuffer(repeating: value, count: count)
    return eventLoop.makeSucceededFuture(piece)
  }

  func close() { isClosed.withLock { $0 = true } }
}
