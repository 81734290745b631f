internal import EtcdAPI
internal import Model
internal import SwiftProtobuf

/// How the gateway spells messages: proto3's JSON with the names of the proto files.
enum GatewayJSON {
  private static let decoding: JSONDecodingOptions = {
    var options = JSONDecodingOptions()
    options.ignoreUnknownFields = true
    return options
  }()

  private static let encoding: JSONEncodingOptions = {
    var options = JSONEncodingOptions()
    options.preserveProtoFieldNames = true
    return options
  }()

  /// Bytes left free before an encoded request, for gRPC's prefix.
  static let headroom = 5

  static func encoded<Request: SwiftProtobuf.Message>(_: Request.Type, from json: ArraySlice<UInt8>) throws
    -> [UInt8]
  {
    let request = json.isEmpty ? Request() : try Request(jsonUTF8Bytes: Array(json), options: decoding)
    try EnumRange.check(request)
    return [UInt8](repeating: 0, count: headroom) + (try request.serializedBytes() as [UInt8])
  }

  static func text(of response: some SwiftProtobuf.Message) throws -> [UInt8] {
    try response.jsonUTF8Bytes(options: encoding)
  }

  /// The body of a refusal.
  static func text(of error: ClientError) -> [UInt8] {
    let code = error.code == .ok ? StatusCode.unknown : error.code
    return Array("{\"code\":\(code.rawValue),\"message\":\(quoted(error.message))}".utf8)
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// The HTTP status that stands for a gRPC code, as in grpc-gateway.
  static func httpStatus(_ code: StatusCode) -> Int {
    switch code {
    case .ok: 200
    case .cancelled: 499
    case .unknown, .internal, .dataLoss: 500
    case .invalidArgument, .failedPrecondition, .outOfRange: 400
    case .deadlineExceeded: 504
    case .notFound: 404
    case .alreadyExists, .aborted: 409
    case .permissionDenied: 403
    case .unauthenticated: 401
    case .resourceExhausted: 429
    case .unimplemented: 501
    case .unavailable: 503
    }
  }
}
