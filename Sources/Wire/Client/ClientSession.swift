internal import CNGHTTP2
import NIOCore

/// A client session whose callbacks lead to `connection`, with preface and SETTINGS queued; nil without memory.
func makeClientSession(_ connection: ClientConnection) -> OpaquePointer? {
  var callbacksPointer: OpaquePointer?
  var optionPointer: OpaquePointer?
  guard nghttp2_session_callbacks_new(&callbacksPointer) == 0, let callbacks = callbacksPointer else {
    return nil
  }
  defer { nghttp2_session_callbacks_del(callbacks) }
  guard nghttp2_option_new(&optionPointer) == 0, let option = optionPointer else { return nil }
  defer { nghttp2_option_del(option) }
  nghttp2_option_set_no_closed_streams(option, 1)
  nghttp2_option_set_peer_max_concurrent_streams(option, 1000)

  nghttp2_session_callbacks_set_send_callback(callbacks, clientSend)
  nghttp2_session_callbacks_set_send_data_callback(callbacks, clientSendData)
  nghttp2_session_callbacks_set_on_header_callback(callbacks, clientHeader)
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, clientFrameReceived)
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, clientDataReceived)
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, clientStreamClosed)

  var sessionPointer: OpaquePointer?
  let user = Unmanaged.passUnretained(connection).toOpaque()
  guard nghttp2_session_client_new2(&sessionPointer, callbacks, user, option) == 0,
    let session = sessionPointer
  else { return nil }
  var settings = [
    nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
      value: UInt32(connection.options.streamWindowBytes)),
    nghttp2_settings_entry(
      settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
  ]
  let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
  guard nghttp2_submit_settings(session, none, &settings, settings.count) == 0,
    nghttp2_session_set_local_window_size(session, none, 0, connection.options.connectionWindowBytes) == 0
  else {
    nghttp2_session_del(session)
    return nil
  }
  return session
}

// The C callbacks. `user` is the connection, which outlives its session; a stream's user data and a data source's
// pointer are its call, which the connection's list keeps until the stream is closed.

@inline(__always)
private func withConnection<Result>(
  _ user: UnsafeMutableRawPointer?, orElse fallback: Result, _ body: (ClientConnection) -> Result
) -> Result {
  guard let user else { return fallback }
  return Unmanaged<ClientConnection>.fromOpaque(user)._withUnsafeGuaranteedRef { body($0) }
}

@inline(__always)
private func withCall(_ session: OpaquePointer?, _ streamID: Int32, _ body: (ClientCall) -> Void) {
  guard let pointer = nghttp2_session_get_stream_user_data(session, streamID) else { return }
  Unmanaged<ClientCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { body($0) }
}

private let callbackFailure = Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)

private let clientSend: nghttp2_send_callback = { _, bytes, count, _, user in
  withConnection(user, orElse: Int(callbackFailure)) { connection in
    guard let bytes, connection.hasRoomForOutput else { return Int(NGHTTP2_ERR_WOULDBLOCK.rawValue) }
    connection.appendOutput(bytes, count)
    return count
  }
}

private let clientSendData: nghttp2_send_data_callback = { _, _, frameHeader, length, source, user in
  withConnection(user, orElse: callbackFailure) { connection in
    guard let frameHeader, let pointer = source?.pointee.ptr else { return callbackFailure }
    Unmanaged<ClientCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
      connection.appendData($0, frameHeader: frameHeader, length: length)
    }
    return connection.hasRoomForOutput ? 0 : Int32(NGHTTP2_ERR_PAUSE.rawValue)
  }
}

/// The data source of every request: offers what is queued, ends the stream after the last, waits otherwise.
let clientReadData: nghttp2_data_source_read_callback = { _, _, _, length, flags, source, _ in
  guard let flags, let pointer = source?.pointee.ptr else { return Int(callbackFailure) }
  return Unmanaged<ClientCall>.fromOpaque(pointer)._withUnsafeGuaranteedRef { call in
    let count = min(length, call.sendQueue.count)
    if count == call.sendQueue.count, call.halfClosed {
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    } else if count == 0 {
      call.deferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    return count
  }
}

private let clientHeader: nghttp2_on_header_callback = {
  session, frame, name, nameCount, value, valueCount, _, _ in
  guard let frame else { return 0 }
  withCall(session, frame.pointee.hd.stream_id) { call in
    call.takeHeader(
      name: UnsafeRawBufferPointer(start: name, count: nameCount),
      value: UnsafeRawBufferPointer(start: value, count: valueCount))
  }
  return 0
}

private let clientFrameReceived: nghttp2_on_frame_recv_callback = { _, frame, user in
  withConnection(user, orElse: callbackFailure) { connection in
    if let frame, UInt32(frame.pointee.hd.type) == NGHTTP2_GOAWAY.rawValue { connection.goAwayReceived() }
    return 0
  }
}

private let clientDataReceived: nghttp2_on_data_chunk_recv_callback = {
  session, _, streamID, data, count, user in
  withConnection(user, orElse: callbackFailure) { connection in
    withCall(session, streamID) { call in
      connection.dataReceived(call, UnsafeRawBufferPointer(start: data, count: count))
    }
    return 0
  }
}

private let clientStreamClosed: nghttp2_on_stream_close_callback = { session, streamID, error, user in
  withConnection(user, orElse: callbackFailure) { connection in
    withCall(session, streamID) { connection.streamClosed($0, error: error) }
    return 0
  }
}
