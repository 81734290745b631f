internal import CNGHTTP2
internal import Model

// Answers, as `RPCCall` passes them on: submitted to nghttp2 here, serialised at the next flush.
extension ServerConnection {
  func respond(_ call: RPCCall, _ message: consuming [UInt8]) {
    guard let session, call.isOpen else { return }
    accept(message.count)
    countSent(call, message.count)
    call.sendQueue.append(message)
    call.finished = true
    countEnd(call, .ok)
    if call.headersSubmitted {
      resume(call, session)
    } else {
      submitHeaders(call, session)
    }
    markForFlush()
  }

  func send(_ call: RPCCall, _ message: consuming [UInt8]) -> Bool {
    guard let session, call.isOpen else { return true }
    accept(message.count)
    countSent(call, message.count)
    call.sendQueue.append(message)
    if call.headersSubmitted {
      resume(call, session)
    } else {
      submitHeaders(call, session)
    }
    markForFlush()
    if call.sendQueue.count < options.callQueueHighBytes, !isBackedUp { return true }
    call.wantsWritable = true
    return false
  }

  func sendHeaders(_ call: RPCCall) {
    guard let session, call.isOpen, !call.headersSubmitted else { return }
    submitHeaders(call, session)
    markForFlush()
  }

  func finish(_ call: RPCCall, _ code: StatusCode, _ message: String) {
    guard let session, call.isOpen else { return }
    call.finished = true
    call.status = code
    call.statusMessage = message
    countEnd(call, code)
    if call.headersSubmitted {
      resume(call, session)
    } else {
      let fields = HeaderBlock(status: "200", code: code, message: message, trailersOnly: true)
      submitWithoutBody(call, fields, session)
    }
    markForFlush()
  }

  /// Answers a request that gRPC cannot take up, with an HTTP status of its own, as grpc-go does.
  func abort(_ call: RPCCall, httpStatus: StaticString = "200", _ code: StatusCode, _ message: String) {
    guard let session, call.isOpen else { return }
    call.finished = true
    let fields = HeaderBlock(
      status: String(describing: httpStatus), code: code, message: message, trailersOnly: true)
    submitWithoutBody(call, fields, session)
    markForFlush()
  }

  /// Gives nghttp2 the trailers of a call, from inside its data source.
  func submitTrailers(_ call: RPCCall, _ session: OpaquePointer) {
    if call.status == .ok, call.statusMessage.isEmpty {
      _ = nghttp2_submit_trailer(session, call.streamID, headers.okTrailers, headers.okTrailersCount)
    } else {
      let fields = HeaderBlock(
        status: nil, code: call.status, message: call.statusMessage, trailersOnly: false)
      fields.withFields { fields, count in
        _ = nghttp2_submit_trailer(session, call.streamID, fields, count)
      }
    }
    if !call.remoteClosed { finishedEarly.append(call) }
  }

  private func submitHeaders(_ call: RPCCall, _ session: OpaquePointer) {
    call.headersSubmitted = true
    var provider = nghttp2_data_provider()
    provider.source.ptr = Unmanaged.passUnretained(call).toOpaque()
    provider.read_callback = serverReadData
    if call.kind != .unary || call.sendQueue.count > 65_536 { shareBandwidth(call, session) }
    let result = nghttp2_submit_response(
      session, call.streamID, headers.response, headers.responseCount, &provider)
    // The stream is gone or memory is: either way its close is on the way.
    if result != 0 { call.finished = true }
  }

  private func submitWithoutBody(_ call: RPCCall, _ fields: HeaderBlock, _ session: OpaquePointer) {
    call.headersSubmitted = true
    fields.withFields { fields, count in
      _ = nghttp2_submit_response(session, call.streamID, fields, count, nil)
    }
    if !call.remoteClosed { finishedEarly.append(call) }
  }

  @inline(__always)
  private func resume(_ call: RPCCall, _ session: OpaquePointer) {
    guard call.deferred else { return }
    call.deferred = false
    _ = nghttp2_session_resume_data(session, call.streamID)
  }

  /// Without RFC 7540 priorities nghttp2 sends one response to its end before the next; long ones take turns.
  private func shareBandwidth(_ call: RPCCall, _ session: OpaquePointer) {
    var priority = nghttp2_extpri(urgency: UInt32(NGHTTP2_EXTPRI_DEFAULT_URGENCY), inc: 1)
    _ = nghttp2_session_change_extpri_stream_priority(session, call.streamID, &priority, 1)
  }
}

extension ServerConnection {
  @inline(__always)
  private func accept(_ bytes: Int) {
    queuedBytes &+= bytes
    if queuedBytes >= options.connectionQueueHighBytes { isCongested = true }
  }
}
