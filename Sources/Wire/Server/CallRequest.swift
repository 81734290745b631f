internal import CNGHTTP2

/// What the headers of a request said: judged once, when the block is complete.
///
/// Values are kept as references into nghttp2's header table, without copying; `release` gives them back.
struct CallRequest {
  enum Method { case missing, post, other }

  /// Values that a handler or an error text may need.
  enum Held: Int, CaseIterable {
    case hasLeader, token, authorization, clientAPIVersion, path, contentType, encoding, otherMethod
  }

  var headerBytes = 0
  var httpMethod = Method.missing
  var isGRPC = false
  /// `grpc-encoding: gzip`, the one compression besides none that etcd knows.
  var isGzip = false
  var methodIndex = -1
  var timeout = GRPCTimeout.none
  private var held: InlineArray<8, OpaquePointer?> = .init(repeating: nil)
  private var holdsAny = false

  /// Takes one header field.
  mutating func take(
    name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, reference: OpaquePointer,
    methods: MethodTable
  ) {
    headerBytes &+= name.count &+ value.count &+ 32
    switch name.count {
    case 5:
      if name.equals(":path") {
        if let index = methods.index(of: value) { methodIndex = index } else { hold(.path, reference) }
      } else if name.equals("token") {
        hold(.token, reference)
      }
    case 7 where name.equals(":method"):
      httpMethod = value.equals("POST") ? .post : .other
      if httpMethod == .other { hold(.otherMethod, reference) }
    case 9 where name.equals("hasleader"):
      hold(.hasLeader, reference)
    case 12:
      if name.equals("content-type") {
        isGRPC = Self.isGRPCContentType(value)
        if !isGRPC { hold(.contentType, reference) }
      } else if name.equals("grpc-timeout") {
        timeout = GRPCTimeout(value)
      }
    case 13:
      if name.equals("authorization") {
        hold(.authorization, reference)
      } else if name.equals("grpc-encoding"), !value.isEmpty, !value.equals("identity") {
        if value.equals("gzip") { isGzip = true } else { hold(.encoding, reference) }
      }
    case 18 where name.equals("client-api-version"):
      hold(.clientAPIVersion, reference)
    default: break
    }
  }

  /// A held value; valid until the call ends.
  func bytes(_ field: Held) -> UnsafeRawBufferPointer? {
    held[field.rawValue].map(Self.bytes)
  }

  /// A held value as text; nothing when it was not sent.
  func text(_ field: Held) -> String {
    bytes(field).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  static func bytes(_ reference: OpaquePointer) -> UnsafeRawBufferPointer {
    let vector = nghttp2_rcbuf_get_buf(reference)
    return UnsafeRawBufferPointer(start: vector.base, count: vector.len)
  }

  mutating func release() {
    if holdsAny {
      for index in held.indices {
        if let reference = held[index] { nghttp2_rcbuf_decref(reference) }
      }
    }
    self = CallRequest()
  }

  /// The first of several fields of one name counts, as in grpc-go's metadata.
  private mutating func hold(_ field: Held, _ reference: OpaquePointer) {
    guard held[field.rawValue] == nil else { return }
    nghttp2_rcbuf_incref(reference)
    held[field.rawValue] = reference
    holdsAny = true
  }

  /// `application/grpc`, or that with `+` or `;` and anything after it.
  private static func isGRPCContentType(_ value: UnsafeRawBufferPointer) -> Bool {
    guard value.starts(with: "application/grpc") else { return false }
    if value.count == 16 { return true }
    return value[16] == UInt8(ascii: "+") || value[16] == UInt8(ascii: ";")
  }
}

extension CallRequest.Held {
  init(_ field: RPCMetadata) {
    switch field {
    case .hasLeader: self = .hasLeader
    case .token: self = .token
    case .authorization: self = .authorization
    case .clientAPIVersion: self = .clientAPIVersion
    }
  }
}
