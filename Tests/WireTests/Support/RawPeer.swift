import CNGHTTP2
import Glibc

func usleepBriefly() { usleep(2000) }

/// One HTTP/2 frame, as sent or received.
struct Frame: Hashable, Sendable {
  enum Kind {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let priority: UInt8 = 2
    static let reset: UInt8 = 3
    static let settings: UInt8 = 4
    static let ping: UInt8 = 6
    static let goAway: UInt8 = 7
    static let windowUpdate: UInt8 = 8
    static let continuation: UInt8 = 9
  }

  static let endStream: UInt8 = 1
  static let ack: UInt8 = 1
  static let endHeaders: UInt8 = 4

  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  var bytes: [UInt8] {
    let count = UInt32(payload.count)
    return [
      UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8),
      UInt8(truncatingIfNeeded: count), type, flags,
    ] + word(stream) + payload
  }

  var endsStream: Bool { (type == Kind.data || type == Kind.headers) && flags & Frame.endStream != 0 }

  static func settings(_ values: [(id: UInt16, value: UInt32)] = [], ack: Bool = false) -> Frame {
    Frame(
      type: Kind.settings, flags: ack ? Frame.ack : 0,
      payload: values.flatMap {
        [UInt8(truncatingIfNeeded: $0.id >> 8), UInt8(truncatingIfNeeded: $0.id)] + word($0.value)
      })
  }

  static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> Frame {
    Frame(type: Kind.windowUpdate, stream: stream, payload: word(increment))
  }

  static func ping(_ mark: UInt8 = 0, ack: Bool = false) -> Frame {
    Frame(type: Kind.ping, flags: ack ? Frame.ack : 0, payload: [UInt8](repeating: mark, count: 8))
  }

  static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> Frame {
    Frame(type: Kind.reset, stream: stream, payload: word(code))
  }

  static func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool = true) -> Frame {
    Frame(type: Kind.data, flags: end ? endStream : 0, stream: stream, payload: bytes)
  }

  static func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = false) -> Frame {
    Frame(
      type: Kind.headers, flags: endHeaders | (end ? endStream : 0), stream: stream,
      payload: headerBlock(fields))
  }

  /// The headers of a gRPC request, with some replaced or added; an empty value leaves a field out.
  static func request(
    _ stream: UInt32, _ path: String, _ changes: [(String, String)] = [], end: Bool = false
  ) -> Frame {
    var fields = [
      (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
      ("content-type", "application/grpc"), ("te", "trailers"),
    ]
    for change in changes {
      if let index = fields.firstIndex(where: { $0.0 == change.0 }) {
        if change.1.isEmpty { fields.remove(at: index) } else { fields[index].1 = change.1 }
      } else {
        fields.append(change)
      }
    }
    return headers(stream, fields, end: end)
  }

  /// HPACK literals without indexing and without Huffman coding.
  static func headerBlock(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { name, value in [0x00] + literal(name) + literal(value) }
  }

  private static func literal(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
    var rest = bytes.count - 127
    var length: [UInt8] = [127]
    while rest >= 128 {
      length.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return length + [UInt8(rest)] + bytes
  }
}

func word(_ value: UInt32) -> [UInt8] {
  [
    UInt8(truncatingIfNeeded: value >> 24), UInt8(truncatingIfNeeded: value >> 16),
    UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value),
  ]
}

/// A gRPC message with its five-byte prefix.
func grpc(_ message: [UInt8], compressed: UInt8 = 0) -> [UInt8] {
  [compressed] + word(UInt32(message.count)) + message
}

/// A client of bare frames over a blocking socket: for all that a well-behaved client does not do.
final class RawPeer {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  struct TimedOut: Error {}

  private var descriptor: Int32
  private var buffer: [UInt8] = []
  private var inflater: OpaquePointer?
  /// The server has closed the connection.
  private(set) var isClosed = false

  /// - Parameter settings: sent with the preface; nil sends nothing at all.
  init(port: Int, settings: [(id: UInt16, value: UInt32)]? = [], timeoutSeconds: Int = 10) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let connected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw TimedOut() }
    var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    nghttp2_hd_inflate_new(&inflater)
    if let settings { send(Self.preface + Frame.settings(settings).bytes) }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    nghttp2_hd_inflate_del(inflater)
  }

  func disconnect() {
    close(descriptor)
    descriptor = -1
  }

  /// Half-closes: the server will see the end of the input.
  func endSending() {
    shutdown(descriptor, Int32(SHUT_WR))
  }

  /// Reads and drops everything; false when the server has not closed within the timeout.
  func drain() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count == 0 { return true }
      if count < 0 { return errno != EAGAIN && errno != EWOULDBLOCK }
    }
  }

  /// Sends all bytes; a peer that closed meanwhile is noticed by the next read.
  func send(_ bytes: [UInt8]) {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress.map { $0 + offset }, bytes.count - offset, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return }
      offset += count
    }
  }

  func send(_ frames: Frame...) { send(frames.flatMap(\.bytes)) }

  /// Sends a whole unary call.
  func call(_ stream: UInt32, _ path: String, _ message: [UInt8], _ changes: [(String, String)] = []) {
    send(.request(stream, path, changes), .data(stream, grpc(message)))
  }

  /// The next frame, or nil when the server has closed the connection.
  func next() throws -> Frame? {
    while true {
      if buffer.count >= 9 {
        let length = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
        if buffer.count >= 9 + length {
          let stream =
            UInt32(buffer[5] & 0x7f) << 24 | UInt32(buffer[6]) << 16 | UInt32(buffer[7]) << 8
            | UInt32(buffer[8])
          let frame = Frame(
            type: buffer[3], flags: buffer[4], stream: stream, payload: Array(buffer[9..<(9 + length)]))
          buffer.removeFirst(9 + length)
          return frame
        }
      }
      guard try fill() else { return nil }
    }
  }

  /// Everything until the server closes the connection.
  func readToEnd() throws -> [UInt8] {
    while try fill() {}
    return buffer
  }

  /// Reads until the server has closed; false when it has not within the timeout.
  func waitForClose() -> Bool {
    do {
      while try next() != nil {}
      return true
    } catch {
      return false
    }
  }

  private func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    if count > 0 {
      buffer.append(contentsOf: chunk[0..<count])
      return true
    }
    if count < 0, errno == EAGAIN || errno == EWOULDBLOCK { throw TimedOut() }
    isClosed = true
    return false
  }

  /// What came back on one stream.
  struct Response {
    var headers: [String: String] = [:]
    var trailers: [String: String] = [:]
    var body: [UInt8] = []
    var resetCode: UInt32?
    var frames = 0

    /// From the trailers, or from the headers of an answer without body.
    var status: Int? { (trailers["grpc-status"] ?? headers["grpc-status"]).flatMap { Int($0) } }
    var message: String { trailers["grpc-message"] ?? headers["grpc-message"] ?? "" }
  }

  /// Reads until the stream has ended, answering nothing but counting all; nil when the connection closed before.
  func response(_ stream: UInt32, creditBack: Bool = true) throws -> Response? {
    var result = Response()
    while let frame = try next() {
      if frame.type == Frame.Kind.headers {
        // Every block must be decoded, for the table's sake.
        let fields = try inflate(frame.payload)
        guard frame.stream == stream else { continue }
        if result.headers.isEmpty { result.headers = fields } else { result.trailers = fields }
      }
      guard frame.stream == stream else { continue }
      result.frames += 1
      if frame.type == Frame.Kind.data {
        result.body += frame.payload
        if creditBack, !frame.payload.isEmpty {
          let count = UInt32(frame.payload.count)
          send(.windowUpdate(0, count), .windowUpdate(stream, count))
        }
      }
      if frame.type == Frame.Kind.reset {
        result.resetCode = UInt32(frame.payload[2]) << 8 | UInt32(frame.payload[3])
        return result
      }
      if frame.endsStream { return result }
    }
    return nil
  }

  struct BadHeaderBlock: Error {}

  private func inflate(_ block: [UInt8]) throws -> [String: String] {
    var fields: [String: String] = [:]
    var offset = 0
    while true {
      var field = nghttp2_nv()
      var flags: Int32 = 0
      let used = block.withUnsafeBytes { bytes in
        nghttp2_hd_inflate_hd2(
          inflater, &field, &flags,
          bytes.baseAddress.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self) + offset) },
          block.count - offset, 1)
      }
      guard used >= 0 else { throw BadHeaderBlock() }
      offset += used
      if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
        let name = String(
          decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self)
        fields[name] = String(
          decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
      }
      if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
        nghttp2_hd_inflate_end_headers(inflater)
        return fields
      }
      if used == 0, offset == block.count { return fields }
    }
  }
}
