internal import CNGHTTP2
import Model
import NIOCore

// Deadlines, keepalive, flood counters, and the orderly end of a connection.
extension ServerConnection {
  // MARK: Deadlines

  func startDeadline(_ call: RPCCall, nanoseconds: Int64) {
    // About 292 years from now at most; the sum cannot overflow a UInt64 clock.
    let deadline = batchTime + .nanoseconds(min(nanoseconds, .max / 2))
    call.deadline = deadline
    deadlines.compact(liveCount: calls.count) { isOpenCall($0) }
    deadlines.insert(.init(deadline: deadline, streamID: call.streamID))
    if deadline < deadlineTimerAt { armDeadlineTimer(deadline) }
  }

  private func armDeadlineTimer(_ deadline: NIODeadline) {
    deadlineTimer?.cancel()
    deadlineTimerAt = deadline
    deadlineTimer = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
      deadlineTimerFired()
    }
  }

  private func deadlineTimerFired() {
    deadlineTimer = nil
    deadlineTimerAt = .distantFuture
    batchTime = .now()
    while let earliest = deadlines.earliest {
      let call = deadlines.heap.first.flatMap { openCall($0.streamID) }
      if call != nil, earliest > batchTime { break }
      _ = deadlines.popEarliest()
      if let call { end(call, reason: .deadline, .deadlineExceeded, "context deadline exceeded") }
    }
    if let earliest = deadlines.earliest { armDeadlineTimer(earliest) }
  }

  private func openCall(_ streamID: Int32) -> RPCCall? {
    guard let session, let pointer = nghttp2_session_get_stream_user_data(session, streamID) else {
      return nil
    }
    return Unmanaged<RPCCall>.fromOpaque(pointer).takeUnretainedValue()
  }

  private func isOpenCall(_ streamID: Int32) -> Bool {
    guard let session else { return false }
    return nghttp2_session_get_stream_user_data(session, streamID) != nil
  }

  // MARK: Keepalive

  func pingReceived() {
    if keepalive.pingReceived(at: batchTime, hasCalls: !calls.isEmpty) { calmDown("too_many_pings") }
  }

  func pingAcknowledged() {
    if drainStage == .notified { announceDrain() }
  }

  func armKeepalive(after delay: TimeAmount) {
    keepaliveTimer = eventLoop.assumeIsolated().scheduleTask(in: delay) { [self] in
      keepaliveTimerFired()
    }
  }

  private func keepaliveTimerFired() {
    guard let session, !isClosing else { return }
    let now = NIODeadline.now()
    if pingOutstanding { return close() }
    let quiet = now - lastRead
    guard quiet >= options.keepaliveInterval else {
      return armKeepalive(after: options.keepaliveInterval - quiet)
    }
    pingOutstanding = true
    _ = nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    flush()
    armKeepalive(after: options.keepaliveTimeout)
  }

  // MARK: Floods

  func countSettings() {
    settingsFrames += 1
    if settingsFrames > options.settingsFramesMax { calmDown("too_many_settings") }
  }

  func countEmptyData() {
    emptyDataFrames += 1
    if emptyDataFrames > options.emptyDataFramesMax { calmDown("too_many_empty_frames") }
  }

  /// GOAWAY ENHANCE_YOUR_CALM with a reason, then close.
  private func calmDown(_ reason: StaticString) {
    guard let session, !isClosing else { return }
    let last = nghttp2_session_get_last_proc_stream_id(session)
    _ = nghttp2_submit_goaway(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_ENHANCE_YOUR_CALM.rawValue, reason.utf8Start,
      reason.utf8CodeUnitCount)
    // The GOAWAY goes out with the flush that follows this read, and the connection after it.
    isClosing = true
  }

  // MARK: Drain

  /// First a GOAWAY that names no last stream, so that requests on their way still count; after a round trip the
  /// one that does. The connection closes when its calls are done.
  func drain() {
    guard let session, drainStage == .none else { return }
    drainStage = .notified
    _ = nghttp2_submit_shutdown_notice(session)
    _ = nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    handler.draining(self)
    flush()
    // A client that does not answer the ping is not waited for.
    eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in
      guard drainStage == .notified else { return }
      announceDrain()
      flush()
    }
  }

  private func announceDrain() {
    guard let session else { return }
    drainStage = .announced
    let last = nghttp2_session_get_last_proc_stream_id(session)
    _ = nghttp2_submit_goaway(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
  }
}
