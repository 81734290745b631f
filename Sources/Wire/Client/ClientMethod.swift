internal import CNGHTTP2

/// The request headers of one method at one authority, laid out once for nghttp2 to read in place.
///
/// Unchecked: immutable after construction.
public final class ClientMethod: @unchecked Sendable {
  public let path: String
  let fields: UnsafeMutableBufferPointer<nghttp2_nv>
  private let text: UnsafeMutableBufferPointer<UInt8>

  /// - Parameters:
  ///   - path: `/service/method`.
  ///   - authority: host and port as the client addresses the server.
  ///   - scheme: `http` or `https`.
  public init(_ path: String, authority: String, scheme: String = "http") {
    self.path = path
    let pairs = [
      (":method", "POST"), (":scheme", scheme), (":path", path), (":authority", authority),
      ("content-type", "application/grpc"), ("user-agent", "cairn-client"), ("te", "trailers"),
    ]
    text = .allocate(capacity: pairs.reduce(1) { $0 + $1.0.utf8.count + $1.1.utf8.count })
    fields = .allocate(capacity: pairs.count)
    var offset = 0
    for (index, pair) in pairs.enumerated() {
      let name = offset
      for byte in pair.0.utf8 { text.initializeElement(at: offset, to: byte); offset += 1 }
      let value = offset
      for byte in pair.1.utf8 { text.initializeElement(at: offset, to: byte); offset += 1 }
      fields.initializeElement(
        at: index,
        to: nghttp2_nv(
          name: text.baseAddress.map { $0 + name }, value: text.baseAddress.map { $0 + value },
          namelen: value - name, valuelen: offset - value,
          flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)))
    }
  }

  deinit {
    fields.deallocate()
    text.deallocate()
  }
}

/// What a call wants beyond its message.
public struct CallOptions: Sendable {
  /// From now; travels as `grpc-timeout` and is kept by the client as well.
  public var timeoutNanoseconds: Int64?
  /// Further header fields, names in lower case: `token`, `hasleader`, `client-api-version`.
  public var metadata: [(name: String, value: String)]

  public init(timeoutNanoseconds: Int64? = nil, metadata: [(name: String, value: String)] = []) {
    self.timeoutNanoseconds = timeoutNanoseconds
    self.metadata = metadata
  }

  var isPlain: Bool { timeoutNanoseconds == nil && metadata.isEmpty }
}
