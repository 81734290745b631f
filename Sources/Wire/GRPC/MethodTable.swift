/// One remote procedure: its full path and what flows over it.
public struct RPCMethod: Sendable {
  /// Which side sends one message and which a stream of them.
  public enum Kind: UInt8, Sendable {
    /// One request, one response.
    case unary
    /// One request, any number of responses.
    case serverStream
    /// Any number of both.
    case bidirectional
  }

  /// As on the wire, with the leading slash: `/etcdserverpb.KV/Range`.
  public var path: String
  public var kind: Kind

  public init(_ path: String, _ kind: Kind) {
    self.path = path
    self.kind = kind
  }
}

/// Resolves the path of a call to the position of its method in the list given at construction.
///
/// Open addressing over a hash of the path's bytes: one probe and one comparison per call, no `String`.
/// A class, so that the header callback passes one reference and not four arrays.
public final class MethodTable: Sendable {
  /// What a path stands for.
  enum Resolution {
    case method(Int)
    /// The answer for a path that names none, in grpc-go's words.
    case unknown(message: String)
  }

  /// In the order given; `RPCCall.method` is an index into it.
  public let methods: [RPCMethod]
  let kinds: [RPCMethod.Kind]
  private let paths: [[UInt8]]
  private let services: [[UInt8]]
  /// Index of a method plus one; zero is an empty slot. A power of two long, at most half full.
  private let slots: [UInt16]

  /// - Parameter methods: fewer than 65,536, all different, each `/service/method`.
  public init(_ methods: [RPCMethod]) {
    precondition(methods.count < Int(UInt16.max), "too many methods")
    self.methods = methods
    var paths: [[UInt8]] = []
    var services: [[UInt8]] = []
    var capacity = 16
    while capacity < methods.count * 4 { capacity *= 2 }
    var slots = [UInt16](repeating: 0, count: capacity)
    for (index, method) in methods.enumerated() {
      let path = Array(method.path.utf8)
      guard path.first == UInt8(ascii: "/"), let slash = path.lastIndex(of: UInt8(ascii: "/")), slash > 0
      else { preconditionFailure("malformed method path \(method.path)") }
      precondition(!paths.contains(path), "method \(method.path) appears twice")
      paths.append(path)
      let service = Array(path[1..<slash])
      if !services.contains(service) { services.append(service) }
      var slot = path.withUnsafeBytes { Self.hash($0) } & (capacity - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      slots[slot] = UInt16(index + 1)
    }
    self.kinds = methods.map(\.kind)
    self.paths = paths
    self.services = services
    self.slots = slots
  }

  /// The position of the method with exactly this path, or nil.
  func index(of path: UnsafeRawBufferPointer) -> Int? {
    let mask = slots.count - 1
    var slot = Self.hash(path) & mask
    while true {
      let entry = Int(slots[slot])
      if entry == 0 { return nil }
      if paths[entry - 1].withUnsafeBytes({ path.elementsAreEqual($0) }) { return entry - 1 }
      slot = (slot + 1) & mask
    }
  }

  /// The full answer for a path: its method, or what to tell the client.
  func resolve(_ path: UnsafeRawBufferPointer) -> Resolution {
    if let index = index(of: path) { return .method(index) }
    let slash = UInt8(ascii: "/")
    guard path.first == slash, let last = path.lastIndex(of: slash), last > 0 else {
      return .unknown(message: "malformed method name: \(goQuoted(path))")
    }
    let service = path[1..<last]
    let method = path[(last + 1)...]
    let serviceText = String(decoding: service, as: UTF8.self)
    guard services.contains(where: { $0.elementsEqual(service) }) else {
      return .unknown(message: "unknown service \(serviceText)")
    }
    return .unknown(
      message: "unknown method \(String(decoding: method, as: UTF8.self)) for service \(serviceText)")
  }

  /// Eight bytes at a time, so a path of 25 bytes takes four multiplications.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
    var state = UInt64(truncatingIfNeeded: bytes.count)
    var offset = 0
    while offset &+ 8 <= bytes.count {
      state = (state ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x9e37_79b9_7f4a_7c15
      state ^= state >> 29
      offset &+= 8
    }
    while offset < bytes.count {
      state = (state ^ UInt64(bytes[offset])) &* 0x9e37_79b9_7f4a_7c15
      offset &+= 1
    }
    return Int(truncatingIfNeeded: (state ^ (state >> 32)) & 0x7fff_ffff)
  }
}
