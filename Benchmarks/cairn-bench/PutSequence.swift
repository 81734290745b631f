import Client
import EtcdAPI
import Model
import NIOCore
import NIOPosix
import SwiftProtobuf
import Wire

/// Puts of one key, one after the other.
enum PutSequence {
  /// - Returns: the revision of the first.
  static func run(_ shape: LoadShape, _ key: [UInt8], count: Int) throws -> Int64 {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    defer { try? group.syncShutdownGracefully() }
    let endpoint = shape.endpoints[0]
    let connection = try LoadDriver.connect(to: endpoint, on: group.next()).wait()
    let method = ClientMethod("\(EtcdMethod.put.path)", authority: endpoint.description)
    var first: Int64 = 0
    for number in 0..<count {
      let request = PutRequest(key: key, value: Array("\(number)".utf8))
      let response = try connection.unary(method, message: framed(request)).wait()
      if number == 0 { first = try Etcdserverpb_PutResponse(serializedBytes: response).header.revision }
    }
    return first
  }
}
