internal import CNGHTTP2
internal import Glibc
import NIOCore

// Serialising: nghttp2 decides which frame goes next, its bytes go straight into `output`.
extension ServerConnection {
  /// An answer was given: it leaves with the read batch in progress, or at the end of the loop's turn.
  @inline(__always)
  func markForFlush() {
    if !isReading, !isMarked, !isFlushing {
      isMarked = true
      loop.markDirty(self)
    }
  }

  func flushMarked() {
    isMarked = false
    if !isReading { flush() }
  }

  /// Writes what nghttp2 has to say while the socket takes it.
  func flush() {
    guard let session, let context, !isFlushing, channel.isActive else { return }
    isFlushing = true
    defer { isFlushing = false }
    // More than this in one turn would keep other connections of the loop waiting.
    var chunksLeft = 16
    while channel.isWritable {
      isInSession = true
      let result = nghttp2_session_send(session)
      isInSession = false
      if result != 0 { isClosing = true }
      let wrote = output.readableBytes > 0
      if wrote {
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
        // Freed already when the socket took all: then this reuses the memory.
        output.clear()
      }
      guard self.session != nil else { return }
      let reset = resetFinishedEarly(session)
      let woke = wakeProducers()
      let resumed = resumeParked()
      // Handlers ran, and may have closed the connection.
      guard self.session != nil else { return }
      if isClosing { break }
      if !wrote, !reset, !woke, !resumed { break }
      chunksLeft -= 1
      if chunksLeft == 0 {
        isMarked = true
        loop.markDirty(self)
        break
      }
      if nghttp2_session_want_write(session) == 0 { break }
    }
    if isClosing || (nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0) {
      isClosing = true
      context.close(promise: nil)
    }
  }

  /// A connection error of our own finding: GOAWAY with the code, then close.
  func failConnection(_ code: UInt32) {
    guard let session else { return }
    _ = nghttp2_session_terminate_session(session, code)
    if !isReading { flush() }
    if nghttp2_session_want_write(session) == 0 {
      isClosing = true
      context?.close(promise: nil)
    }
  }

  @inline(__always)
  func appendOutput(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
      if let base = target.baseAddress { memcpy(base, bytes, count) }
      return count
    }
  }

  /// Writes a DATA frame: its header, and `length` bytes from the call's queue.
  func appendData(_ call: RPCCall, frameHeader: UnsafePointer<UInt8>, length: Int) {
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: length &+ 9) { target in
      if let base = target.baseAddress {
        memcpy(base, frameHeader, 9)
        call.sendQueue.take(length, into: base + 9)
      }
      return length &+ 9
    }
    queuedBytes &-= length
    keepalive.trafficSent()
    if call.wantsWritable, call.sendQueue.count <= options.callQueueLowBytes {
      call.wantsWritable = false
      drained.append(call)
    }
  }

  /// Tells producers whose queue has drained; true when there were any.
  private func wakeProducers() -> Bool {
    guard !drained.isEmpty, !isBackedUp else { return false }
    let batch = drained
    drained.removeAll(keepingCapacity: true)
    for call in batch where call.isOpen { handler.writable(call) }
    return true
  }

  /// The client has not finished sending, but its call is over: tell it to stop. Only once the trailers are out,
  /// because nghttp2 drops the frames of a stream that is to be reset. True when any reset was queued.
  private func resetFinishedEarly(_ session: OpaquePointer) -> Bool {
    guard !finishedEarly.isEmpty else { return false }
    var any = false
    finishedEarly.removeAll { call in
      if call.remoteClosed || call.closed { return true }
      guard nghttp2_session_get_stream_local_close(session, call.streamID) == 1 else { return false }
      _ = nghttp2_submit_rst_stream(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), call.streamID, NGHTTP2_NO_ERROR.rawValue)
      any = true
      return true
    }
    return any
  }
}
