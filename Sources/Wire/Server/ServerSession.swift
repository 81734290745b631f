internal import CNGHTTP2
import NIOCore

/// nghttp2 refused to make a session: no memory.
struct SessionError: Error {}

/// A server session whose callbacks lead to `connection`, with its first SETTINGS queued.
func makeServerSession(_ connection: ServerConnection) throws(SessionError) -> OpaquePointer {
  var callbacksPointer: OpaquePointer?
  var optionPointer: OpaquePointer?
  guard nghttp2_session_callbacks_new(&callbacksPointer) == 0, let callbacks = callbacksPointer else {
    throw SessionError()
  }
  defer { nghttp2_session_callbacks_del(callbacks) }
  guard nghttp2_option_new(&optionPointer) == 0, let option = optionPointer else { throw SessionError() }
  defer { nghttp2_option_del(option) }
  let limits = connection.options
  nghttp2_option_set_no_auto_window_update(option, 1)
  nghttp2_option_set_no_closed_streams(option, 1)
  // etcdctl 3.4 sends a whole URL as :authority, which nghttp2's checks answer with a reset. What a call needs of its
  // headers is checked by `CallRequest`.
  nghttp2_option_set_no_http_messaging(option, 1)
  nghttp2_option_set_stream_reset_rate_limit(option, limits.resetBurst, limits.resetsPerSecond)

  nghttp2_session_callbacks_set_send_callback(callbacks, serverSend)
  nghttp2_session_callbacks_set_send_data_callback(callbacks, serverSendData)
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, serverBeginHeaders)
  nghttp2_session_callbacks_set_on_header_callback2(callbacks, serverHeader)
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, serverFrameReceived)
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, serverDataReceived)
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, serverStreamClosed)

  var sessionPointer: OpaquePointer?
  let user = Unmanaged.passUnretained(connection).toOpaque()
  guard nghttp2_session_server_new2(&sessionPointer, callbacks, user, option) == 0,
    let session = sessionPointer
  else { throw SessionError() }
  var settings = [
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: limits.concurrentStreamsMax
    ),
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
      value: UInt32(limits.streamWindowBytes)),
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
      value: UInt32(clamping: limits.headerBytesMax)),
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
  ]
  let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
  guard nghttp2_submit_settings(session, none, &settings, settings.count) == 0,
    nghttp2_session_set_local_window_size(session, none, 0, limits.connectionWindowBytes) == 0
  else {
    nghttp2_session_del(session)
    throw SessionError()
  }
  return session
}

// The C callbacks. `user` is the connection, which outlives its session; a stream's user data and a data source's
// pointer are its call, which the connection's list keeps until the stream is closed.

/// `_withUnsafeGuaranteedRef` spares a retain and release per callback.
@inline(__always)
private func withConnection<Result>(
  _ user: UnsafeMutableRawPointer?, orElse fallback: Result, _ body: (ServerConnection) -> Result
) -> Result {
  guard let user else { return fallback }
  return Unmanaged<ServerConnection>.fromOpaque(user)._withUnsafeGuaranteedRef { body($0) }
}

@inline(__always)
private func withCall<Result>(
  _ session: OpaquePointer?, _ streamID: Int32, orElse fallback: Result, _ body: (RPCCall) -> Result
) -> Result {
  guard let pointer = nghttp2_session_get_stream_user_data(session, streamID) else { return fallback }
  return Unmanaged<RPCCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { body($0) }
}

private let wouldBlock = Int(NGHTTP2_ERR_WOULDBLOCK.rawValue)

private let serverSend: nghttp2_send_callback = { _, bytes, count, _, user in
  withConnection(user, orElse: wouldBlock) { connection in
    guard let bytes, connection.output.readableBytes < connection.options.outputChunkBytes else {
      return wouldBlock
    }
    connection.appendOutput(bytes, count)
    return count
  }
}

private let serverSendData: nghttp2_send_data_callback = { _, _, frameHeader, length, source, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let frameHeader, let pointer = source?.pointee.ptr else {
      return Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
    }
    Unmanaged<RPCCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
      connection.appendData($0, frameHeader: frameHeader, length: length)
    }
    return connection.output.readableBytes < connection.options.outputChunkBytes
      ? 0 : Int32(NGHTTP2_ERR_PAUSE.rawValue)
  }
}

/// The data source of every response: offers what is queued, ends with trailers, waits otherwise.
let serverReadData: nghttp2_data_source_read_callback = { session, _, _, length, flags, source, user in
  withConnection(user, orElse: Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let session, let flags, let pointer = source?.pointee.ptr else {
      return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
    }
    return Unmanaged<RPCCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { call in
      let count = min(length, call.sendQueue.count)
      if count == call.sendQueue.count, call.finished {
        flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
        connection.submitTrailers(call, session)
      } else if count == 0 {
        call.deferred = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
      flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
      return count
    }
  }
}

private let serverBeginHeaders: nghttp2_on_begin_headers_callback = { _, frame, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let frame, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return 0 }
    connection.beginCall(frame.pointee.hd.stream_id)
    return 0
  }
}

private let serverHeader: nghttp2_on_header_callback2 = { session, frame, name, value, _, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let frame, let name, let value, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return 0 }
    return withCall(session, frame.pointee.hd.stream_id, orElse: 0) { call in
      call.request.take(
        name: CallRequest.bytes(name), value: CallRequest.bytes(value), reference: value,
        methods: connection.methods)
      // Far over the limit nothing more is decoded; a little over gets a proper answer later.
      return call.request.headerBytes > connection.options.headerBytesMax * 4
        ? Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) : 0
    }
  }
}

private let serverFrameReceived: nghttp2_on_frame_recv_callback = { session, frame, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let frame else { return 0 }
    let header = frame.pointee.hd
    let endsStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(header.type) {
    case NGHTTP2_DATA.rawValue:
      if endsStream {
        withCall(session, header.stream_id, orElse: ()) { connection.requestEnded($0) }
      } else if header.length == 0 {
        connection.countEmptyData()
      }
    case NGHTTP2_HEADERS.rawValue:
      withCall(session, header.stream_id, orElse: ()) { call in
        if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST { connection.headersComplete(call) }
        if endsStream { connection.requestEnded(call) }
      }
    case NGHTTP2_PING.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 {
        connection.pingReceived()
      } else {
        connection.pingAcknowledged()
      }
    case NGHTTP2_SETTINGS.rawValue:
      connection.countSettings()
    default: break
    }
    return 0
  }
}

private let serverDataReceived: nghttp2_on_data_chunk_recv_callback = {
  session, _, streamID, data, count, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    guard let session, let data else { return 0 }
    let bytes = UnsafeRawBufferPointer(start: data, count: count)
    let known: Void? = withCall(session, streamID, orElse: nil) { call in
      connection.dataReceived(call, bytes, session)
    }
    if known == nil { _ = nghttp2_session_consume_connection(session, count) }
    return 0
  }
}

private let serverStreamClosed: nghttp2_on_stream_close_callback = { session, streamID, _, user in
  withConnection(user, orElse: Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)) { connection in
    withCall(session, streamID, orElse: ()) { connection.streamClosed($0) }
    return 0
  }
}
