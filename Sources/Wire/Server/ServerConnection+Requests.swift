internal import CNGHTTP2
internal import Model
import NIOCore

// What nghttp2's callbacks report of the client's side, turned into the handler's calls.
extension ServerConnection {
  func beginCall(_ streamID: Int32) {
    guard let session else { return }
    let call = pool.popLast() ?? RPCCall(connection: self)
    call.reset(streamID: streamID)
    call.slot = calls.count
    calls.append(call)
    _ = nghttp2_session_set_stream_user_data(session, streamID, Unmanaged.passUnretained(call).toOpaque())
  }

  /// Judges the header block in grpc-go's order.
  func headersComplete(_ call: RPCCall) {
    guard call.isOpen else { return }
    call.heldHeaderBytes = call.request.headerBytes
    heldBytes &+= call.heldHeaderBytes
    if heldBytes > options.heldRequestBytesMax { return refuseForMemory(call) }
    if call.request.headerBytes > options.headerBytesMax {
      return abort(
        call, httpStatus: "431", .resourceExhausted,
        "header list size is larger than max (\(call.request.headerBytes) vs. \(options.headerBytesMax))")
    }
    if !call.request.isGRPC {
      let contentType = call.request.text(.contentType)
      return abort(
        call, httpStatus: "415", .invalidArgument, "invalid gRPC request content-type \(quoted(contentType))")
    }
    if call.request.httpMethod != .post {
      let method = call.request.text(.otherMethod)
      return abort(
        call, httpStatus: "405", .internal,
        "Received a HEADERS frame with :method \(quoted(method)) which should be POST")
    }
    switch call.request.timeout {
    case .none: break
    case .nanoseconds(let duration): startDeadline(call, nanoseconds: duration)
    case .malformed(let text):
      return abort(call, httpStatus: "400", .internal, "malformed grpc-timeout: \(text)")
    }
    guard call.request.methodIndex >= 0 else {
      guard let path = call.request.bytes(.path), case .unknown(let message) = methods.resolve(path)
      else { return abort(call, .unimplemented, "malformed method name: \"\"") }
      return abort(call, .unimplemented, message)
    }
    if call.request.isGzip { call.assembler.acceptsGzip = true }
    if call.request.bytes(.encoding) != nil {
      let name = quoted(call.request.text(.encoding))
      return abort(call, .unimplemented, "grpc: Decompressor is not installed for grpc-encoding \(name)")
    }
    call.method = call.request.methodIndex
    call.begunAt = batchTime
    call.kind = methods.kinds[call.method]
    if call.kind == .bidirectional {
      call.announced = true
      countStart(call)
      handler.began(call)
    }
  }

  func dataReceived(_ call: RPCCall, _ bytes: UnsafeRawBufferPointer, _ session: OpaquePointer) {
    guard call.isOpen, call.kind == .bidirectional || !call.messageDelivered else {
      _ = nghttp2_session_consume(session, call.streamID, bytes.count)
      return
    }
    // Counted again below, as far as it is still there.
    heldBytes &-= call.assembler.bufferedBytes
    var parkedHere = 0
    var isTooMuch = false
    do {
      try call.assembler.feed(bytes, limit: options.requestBytesMax) { message in
        if isCongested || parkedHead < parked.count {
          // Not parked first and refused then: what small compressed messages of many calls hold would add up.
          guard heldBytes &+ message.count <= options.heldRequestBytesMax else {
            isTooMuch = true
            return false
          }
          // Bytes that came in earlier pieces have been credited already.
          let credit = min(message.count &+ 5, bytes.count &- parkedHere)
          parked.append(ParkedMessage(call: call, message: Array(message), credit: credit))
          parkedHere &+= credit
          heldBytes &+= message.count
          call.parkedMessages &+= 1
          call.messageDelivered = true
          return call.kind == .bidirectional
        }
        deliver(call, message)
        return call.isOpen && call.kind == .bidirectional
      }
    } catch {
      reject(call, error)
    }
    heldBytes &+= call.assembler.bufferedBytes
    // Bytes of parked messages are credited back when those are delivered.
    let consumed = bytes.count &- parkedHere
    if consumed > 0 { _ = nghttp2_session_consume(session, call.streamID, consumed) }
    if isTooMuch || (heldBytes > options.heldRequestBytesMax && !call.assembler.isAtBoundary) {
      discardPartial(call)
      refuseForMemory(call)
    }
  }

  func requestEnded(_ call: RPCCall) {
    call.remoteClosed = true
    guard call.isOpen else { return }
    if !call.assembler.isAtBoundary {
      discardPartial(call)
      return endOfMissingMessage(call)
    }
    if call.kind == .bidirectional {
      // After parked messages of this call, if there are any.
      if call.parkedMessages == 0 { handler.requestsEnded(call) }
    } else if !call.messageDelivered {
      endOfMissingMessage(call)
    }
  }

  func streamClosed(_ call: RPCCall) {
    guard !call.closed else { return }
    call.closed = true
    if call.announced, !call.finished {
      countEnd(call, .cancelled)
      handler.cancelled(call, reason: .reset)
    }
    discardPartial(call)
    heldBytes &-= call.heldHeaderBytes
    queuedBytes &-= call.sendQueue.count
    call.release()
    remove(call)
  }

  /// Delivers parked messages while there is room for their answers; true when any was.
  func resumeParked() -> Bool {
    guard isCongested || parkedHead < parked.count else { return false }
    if isCongested {
      guard queuedBytes <= options.connectionQueueLowBytes else { return false }
      isCongested = false
    }
    var delivered = false
    while parkedHead < parked.count, !isCongested, let session {
      let entry = parked[parkedHead]
      parkedHead += 1
      if parkedHead == parked.count {
        parked.removeAll(keepingCapacity: true)
        parkedHead = 0
      }
      delivered = true
      heldBytes &-= entry.message.count
      let call = entry.call
      entry.message.withUnsafeBytes { message in
        if call.isOpen { deliver(call, message) }
      }
      // The handler may have closed the connection, and the session with it.
      guard self.session != nil else { return false }
      _ = nghttp2_session_consume(session, call.streamID, entry.credit)
      call.parkedMessages -= 1
      if call.parkedMessages == 0, call.remoteClosed, call.kind == .bidirectional, call.isOpen {
        handler.requestsEnded(call)
      }
    }
    if delivered { handler.batchEnded(self) }
    return delivered
  }
}

extension ServerConnection {
  private func deliver(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    if call.kind != .bidirectional {
      call.messageDelivered = true
      call.announced = true
      countStart(call)
      if call.kind == .serverStream { handler.began(call) }
    }
    guard call.isOpen else { return }
    countReceived(call, message.count)
    handler.received(call, message: message)
  }

  /// grpc-go reads the message of a unary call and those of a stream in different places, hence two codes.
  private func endOfMissingMessage(_ call: RPCCall) {
    end(call, call.kind == .unary ? .unknown : .internal, "unexpected EOF")
  }

  private func reject(_ call: RPCCall, _ failure: MessageAssembler.Failure) {
    switch failure {
    case .tooLarge(let length):
      end(
        call, .resourceExhausted,
        "grpc: received message larger than max (\(length) vs. \(options.requestBytesMax))")
    case .compressed:
      end(call, .internal, "grpc: compressed flag set with identity or empty encoding")
    case .decompressedTooLarge:
      end(
        call, .resourceExhausted,
        "grpc: received message after decompression larger than max "
          + "(\(options.requestBytesMax + 1) vs. \(options.requestBytesMax))")
    case .undecompressable(let text):
      end(call, .internal, "grpc: failed to decompress the received message: \(text)")
    case .unknownFormat(let format):
      end(call, .internal, "grpc: received unexpected payload format \(format)")
    }
  }

  /// The wire's own end of a call: the handler, if it knows the call, is told.
  func end(
    _ call: RPCCall, reason: CancellationReason = .protocolViolation, _ code: StatusCode, _ message: String
  ) {
    guard call.isOpen else { return }
    finish(call, code, message)
    if call.announced { handler.cancelled(call, reason: reason) }
  }

  private func refuseForMemory(_ call: RPCCall) {
    end(call, .resourceExhausted, "too many bytes of requests are waiting on this connection")
  }

  private func discardPartial(_ call: RPCCall) {
    heldBytes &-= call.assembler.bufferedBytes
    call.assembler.reset()
  }

  private func remove(_ call: RPCCall) {
    var removed = calls[call.slot]
    let last = calls.removeLast()
    if last !== removed {
      calls[removed.slot] = last
      last.slot = removed.slot
    }
    if pool.count < 256, isKnownUniquelyReferenced(&removed) { pool.append(removed) }
  }

  private func quoted(_ text: String) -> String {
    Array(text.utf8).withUnsafeBytes { goQuoted($0) }
  }
}
