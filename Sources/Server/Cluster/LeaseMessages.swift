internal import Model
internal import Primitives
internal import Replica

/// The bodies of `/leases` and `/leases/internal`: etcd's LeaseKeepAlive messages, and LeaseTimeToLive ones wrapped once.
/// A member answers about the time alone; the keys are read by whoever asks.
enum LeaseMessages {
  static func path(_ question: LeaseQuestion) -> String {
    switch question {
    case .renew: "/leases"
    case .timeToLive: "/leases/internal"
    }
  }

  static func request(_ question: LeaseQuestion) -> [UInt8] {
    var writer = ProtoWriter()
    switch question {
    case .renew(let id): writer.int64(1, id)
    case .timeToLive(let id):
      writer.message(1, size: ProtoSize.int64(1, id))
      writer.int64(1, id)
    }
    return writer.bytes
  }

  /// Nil for a body that is no request, or another path.
  static func question(path: String, body: [UInt8]) -> LeaseQuestion? {
    switch path {
    case "/leases": (try? numbers(body, wrapped: false)).map { .renew($0[1] ?? 0) }
    case "/leases/internal": (try? numbers(body, wrapped: true)).map { .timeToLive($0[1] ?? 0) }
    default: nil
    }
  }

  /// Nil: the lease is unknown.
  static func response(_ question: LeaseQuestion, _ answer: LeaseAnswer) -> [UInt8]? {
    var writer = ProtoWriter()
    switch (question, answer) {
    case (.renew(let id), .renewed(let ttlSeconds)):
      guard ttlSeconds > 0 else { return nil }
      writer.int64(2, id)
      writer.int64(3, ttlSeconds)
    case (.timeToLive(let id), .timeToLive(let times)):
      guard let times else { return nil }
      let fields =
        ProtoSize.message(1, size: 0) + ProtoSize.int64(2, id) + ProtoSize.int64(3, times.remainingSeconds)
        + ProtoSize.int64(4, times.grantedSeconds)
      writer.message(1, size: fields)
      writer.message(1, size: 0)
      writer.int64(2, id)
      writer.int64(3, times.remainingSeconds)
      writer.int64(4, times.grantedSeconds)
    case (.renew, _), (.timeToLive, _): return nil
    }
    return writer.bytes
  }

  /// Nil for a body that is no answer to the question.
  static func answer(_ question: LeaseQuestion, body: [UInt8]) -> LeaseAnswer? {
    switch question {
    case .renew:
      guard let numbers = try? numbers(body, wrapped: false) else { return nil }
      return .renewed(ttlSeconds: numbers[3] ?? 0)
    case .timeToLive:
      guard let numbers = try? numbers(body, wrapped: true) else { return nil }
      return .timeToLive(
        LeaseTimes(grantedSeconds: numbers[4] ?? 0, remainingSeconds: max(0, numbers[3] ?? 0)))
    }
  }

  /// The whole numbers of a message by their fields; of the message in field 1 if that is where they are.
  private static func numbers(_ body: [UInt8], wrapped: Bool) throws(ProtoError) -> [UInt32: Int64] {
    let result: Result<[UInt32: Int64], ProtoError> = body.withUnsafeBytes { bytes in
      do throws(ProtoError) {
        var reader = ProtoReader(bytes)
        guard wrapped else { return .success(try numbers(&reader)) }
        var found: [UInt32: Int64] = [:]
        while let tag = try reader.nextTag() {
          guard tag == .length(1) else {
            try reader.skip(tag)
            continue
          }
          var inner = try reader.readMessage()
          found = try numbers(&inner)
        }
        return .success(found)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private static func numbers(_ reader: inout ProtoReader) throws(ProtoError) -> [UInt32: Int64] {
    var found: [UInt32: Int64] = [:]
    while let tag = try reader.nextTag() {
      switch tag {
      case .varint(1): found[1] = try reader.readInt64()
      case .varint(2): found[2] = try reader.readInt64()
      case .varint(3): found[3] = try reader.readInt64()
      case .varint(4): found[4] = try reader.readInt64()
      default: try reader.skip(tag)
      }
    }
    return found
  }
}
