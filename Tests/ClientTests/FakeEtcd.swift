import Client
import EtcdAPI
import Model
import NIOCore
import NIOPosix
import Primitives
import SwiftProtobuf
import Testing
import Wire

/// A server with a history of puts, watchers and leases, just enough to be a client's other side. Confined to its event
/// loop; tests come there through `FakeServer.onLoop`.
final class FakeEtcd: RPCHandler, @unchecked Sendable {
  private struct Watcher {
    var request: Etcdserverpb_WatchCreateRequest
    var next: Int64
  }

  private final class Stream {
    var watchers: [Int64: Watcher] = [:]
  }

  private(set) var events: [Event] = []
  private(set) var connections: [ServerConnection] = []
  private var streams: [(call: RPCCall, stream: Stream)] = []
  /// Seconds that a lease is said to live; 0: it is not known.
  var timeToLive: Int64 = 60
  private(set) var renewals = 0
  var compacted: Int64 = 0
  /// Events are sent one by one, as pieces of one response.
  var fragments = false
  var answersKeepAlive = true

  var revision: Int64 { Int64(events.count) + 1 }

  func put(_ key: [UInt8]) {
    let revision = self.revision + 1
    events.append(Event(kind: .put, keyValue: KeyValue(key: key, modRevision: revision, value: [1])))
    for (call, stream) in streams where call.isOpen { deliver(call, stream) }
  }

  func dropConnections() {
    for connection in connections { connection.close() }
    connections = []
    streams = []
  }

  func began(_ call: RPCCall) {
    connections.append(call.connection)
    if EtcdMethod.allCases[call.method] == .watch { streams.append((call, Stream())) }
  }

  func received(_ call: RPCCall, message: UnsafeRawBufferPointer) {
    switch EtcdMethod.allCases[call.method] {
    case .watch:
      guard let stream = streams.first(where: { $0.call === call })?.stream,
        let request = try? Etcdserverpb_WatchRequest(serializedBytes: Array(message))
      else { return call.fail(ClientError(.internal, "no such stream or request")) }
      take(call, stream, request)
    case .leaseKeepAlive:
      renewals += 1
      guard answersKeepAlive,
        let request = try? Etcdserverpb_LeaseKeepAliveRequest(serializedBytes: Array(message))
      else { return }
      send(
        call,
        Etcdserverpb_LeaseKeepAliveResponse.with {
          $0.id = request.id
          $0.ttl = timeToLive
        })
    case .rangeStream:
      for index in 0..<3 {
        send(
          call,
          Etcdserverpb_RangeStreamResponse.with {
            $0.rangeResponse.kvs = [.with { $0.modRevision = Int64(index) }]
            if index == 2 { $0.rangeResponse.count = 3 }
          })
      }
      call.finish()
    default: call.fail(ClientError(.unimplemented, "not here"))
    }
  }

  func cancelled(_ call: RPCCall, reason: CancellationReason) {
    streams.removeAll { $0.call === call }
  }

  private func take(_ call: RPCCall, _ stream: Stream, _ request: Etcdserverpb_WatchRequest) {
    switch request.requestUnion {
    case .createRequest(let create): self.create(call, stream, create)
    case .cancelRequest(let cancel):
      guard stream.watchers.removeValue(forKey: cancel.watchID) != nil else { return }
      respond(call, cancel.watchID) { $0.canceled = true }
    case .progressRequest: respond(call, -1) { _ in }
    case nil: break
    }
  }

  private func create(_ call: RPCCall, _ stream: Stream, _ request: Etcdserverpb_WatchCreateRequest) {
    if request.startRevision < 0 {
      return respond(call, -1) {
        $0.created = true
        $0.canceled = true
        $0.cancelReason = "etcdserver: mvcc: required revision has been compacted"
      }
    }
    respond(call, request.watchID) { $0.created = true }
    if request.startRevision > 0, request.startRevision < compacted {
      return respond(call, request.watchID) {
        $0.canceled = true
        $0.compactRevision = compacted
      }
    }
    let next = request.startRevision == 0 ? revision + 1 : request.startRevision
    stream.watchers[request.watchID] = Watcher(request: request, next: next)
    deliver(call, stream)
  }

  private func deliver(_ call: RPCCall, _ stream: Stream) {
    for id in stream.watchers.keys.sorted() {
      guard var watcher = stream.watchers[id] else { continue }
      let due = events.filter {
        $0.keyValue.modRevision >= watcher.next && $0.keyValue.key.elementsEqual(watcher.request.key)
      }
      watcher.next = max(watcher.next, revision + 1)
      stream.watchers[id] = watcher
      guard !due.isEmpty else { continue }
      let groups = fragments ? due.map { [$0] } : [due]
      for (index, group) in groups.enumerated() {
        respond(call, id) { response in
          response.fragment = index < groups.count - 1
          response.events = group.compactMap { try? Mvccpb_Event(serializedBytes: $0.encoded()) }
        }
      }
    }
  }

  private func respond(_ call: RPCCall, _ id: Int64, _ fill: (inout Etcdserverpb_WatchResponse) -> Void) {
    var response = Etcdserverpb_WatchResponse()
    response.header.revision = revision
    response.watchID = id
    fill(&response)
    send(call, response)
  }

  private func send(_ call: RPCCall, _ message: some SwiftProtobuf.Message) {
    guard let bytes: [UInt8] = try? message.serializedBytes() else { return }
    _ = call.send([0, 0, 0, 0, 0] + bytes)
  }
}

/// `FakeEtcd` on a port of its own, and a client of it.
struct FakeServer {
  let fake: FakeEtcd
  let client: EtcdClient
  private let eventLoop: any EventLoop

  static func run(_ body: (FakeServer) async throws -> Void) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let methods = MethodTable(
      EtcdMethod.allCases.map { method in
        switch method.kind {
        case .unary: RPCMethod("\(method.path)", .unary)
        case .serverStream: RPCMethod("\(method.path)", .serverStream)
        case .bidirectional: RPCMethod("\(method.path)", .bidirectional)
        }
      })
    let fake = FakeEtcd()
    let configuration = WireServer.Configuration(methods: methods) { _ in fake }
    let server = try await WireServer.make(group: group, configuration: configuration).get()
    let port = try await server.listen(host: "127.0.0.1", port: 0).get()?.port ?? 0
    let client = EtcdClient(endpoints: [Endpoint(host: "127.0.0.1", port: port)], eventLoop: group.next())
    do {
      try await body(FakeServer(fake: fake, client: client, eventLoop: group.next()))
    } catch {
      Issue.record(error)
    }
    client.close()
    try await server.shutDown(grace: .zero).get()
    try await group.shutdownGracefully()
  }

  /// Runs `body` where the server's state lives.
  func onLoop<Result: Sendable>(_ body: @escaping @Sendable (FakeEtcd) -> Result) async throws -> Result {
    let fake = self.fake
    return try await eventLoop.submit { body(fake) }.get()
  }
}
