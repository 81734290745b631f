import Client
import EtcdAPI
import Foundation
import Model
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import Testing
import Wire

/// Answers as a server with one key would.
private final class OneKey: RPCHandler {
  func received(_ call: RPCCall, message: UnsafeRawBufferPointer) {
    do {
      switch EtcdMethod.allCases[call.method] {
      case .put:
        let request = try PutRequest(decoding: message)
        if request.key.isEmpty { return call.fail(.keyNotProvided) }
        try call.respond(framed(Etcdserverpb_PutResponse.with { $0.header.revision = 7 }))
      case .range:
        let request = try RangeRequest(decoding: message)
        let response = Etcdserverpb_RangeResponse.with {
          $0.count = 1
          $0.kvs = [.with { $0.key = .init(request.key) }]
        }
        try call.respond(framed(response))
      case .snapshot:
        for part in 0..<10 {
          _ = try call.send(
            framed(Etcdserverpb_SnapshotResponse.with { $0.remainingBytes = UInt64(9 - part) }))
        }
        call.finish()
      default: call.fail(ClientError(.unimplemented, "not here"))
      }
    } catch {
      call.fail(ClientError(.internal, "\(error)"))
    }
  }

  func cancelled(_ call: RPCCall, reason: CancellationReason) {}

  private func framed(_ message: some SwiftProtobuf.Message) throws -> [UInt8] {
    let bytes: [UInt8] = try message.serializedBytes()
    return [0, 0, 0, 0, 0] + bytes
  }
}

@Suite struct EtcdClientTests {
  private func withClient(
    _ body: (EtcdClient, WireServer, Int, any EventLoopGroup) async throws -> Void
  ) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let methods = MethodTable(
      EtcdMethod.allCases.map { method in
        switch method.kind {
        case .unary: RPCMethod("\(method.path)", .unary)
        case .serverStream: RPCMethod("\(method.path)", .serverStream)
        case .bidirectional: RPCMethod("\(method.path)", .bidirectional)
        }
      })
    let configuration = WireServer.Configuration(methods: methods) { _ in OneKey() }
    let server = try await WireServer.make(group: group, configuration: configuration).get()
    let port = try await server.listen(host: "127.0.0.1", port: 0).get()?.port ?? 0
    let client = EtcdClient(
      endpoints: [Endpoint(host: "127.0.0.1", port: port)], eventLoop: group.next())
    do {
      try await body(client, server, port, group)
    } catch {
      Issue.record(error)
    }
    client.close()
    try await server.shutDown(grace: .zero).get()
    try await group.shutdownGracefully()
  }

  @Test func typedCalls() async throws {
    try await withClient { client, _, _, _ in
      #expect(try await client.put([1], [2]).header.revision == 7)
      let range = try await client.range([1])
      #expect(range.count == 1)
      #expect(range.kvs.first.map { Array($0.key) } == [1])
      await #expect(throws: ClientError.keyNotProvided) { try await client.put([], []) }
      await #expect(throws: ClientError(.unimplemented, "not here")) { try await client.status() }
    }
  }

  @Test func streams() async throws {
    try await withClient { client, _, _, _ in
      let remaining = Mutex<[UInt64]>([])
      try await client.serverStream(.snapshot, Etcdserverpb_SnapshotRequest()) { message in
        let part = try? Etcdserverpb_SnapshotResponse(serializedBytes: Array(message))
        remaining.withLock { $0.append(part?.remainingBytes ?? 99) }
      }
      #expect(remaining.withLock { $0 } == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    }
  }

  @Test func lostConnectionIsReplaced() async throws {
    try await withClient { client, _, _, _ in
      _ = try await client.put([1], [2])
      let connection = try await client.connection()
      try await connection.channel.close().get()
      #expect(try await client.put([1], [2]).header.revision == 7)
    }
  }

  @Test func deadEndpointIsPassedOver() async throws {
    try await withClient { _, _, port, group in
      let client = EtcdClient(
        endpoints: [Endpoint(host: "127.0.0.1", port: 1), Endpoint(host: "127.0.0.1", port: port)],
        eventLoop: group.next())
      let response = try await client.put([1], [2])
      #expect(response.header.revision == 7)
      client.close()
      await #expect(throws: ClientError(.unavailable, "client is closed")) { try await client.put([1], [2]) }
    }
  }
}
