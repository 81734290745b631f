import Glibc
import Model
import NIOCore
import NIOHTTP1

// What each route makes of a request. The order of the checks, the statuses and the words are etcd's.
extension PeerConnection {
  /// A request's head: what can be refused without the body is.
  func begin(_ head: HTTPRequestHead) {
    let path = String(head.uri.prefix { $0 != "?" })
    guard let route = PeerRoute(path: path) else {
      reject(404, PeerRefusal.notFound, path, head)
      return
    }
    if let method = PeerRoute.method(of: path), head.method.rawValue != method.name {
      let allow = method.isNamedInAnswer ? [("Allow", method.name)] : []
      reject(405, PeerRefusal.methodNotAllowed, path, head, headers: allow)
      return
    }
    switch route {
    case .probing, .other:
      break
    case .pipeline, .snapshot:
      if let reason = network.identity.incompatibility(head.headers) {
        reject(412, reason, path, head, headers: clusterHeader)
        return
      }
      addRemote(head)
    case .stream(let directory, let name):
      if let refusal = streamRefusal(head, directory, name) {
        reject(refusal.status, refusal.reason, path, head, headers: streamHeaders)
        return
      }
    }
    if case .snapshot = route {
      state = .snapshot(SnapshotReception(connection: self, head: head, path: path))
    } else {
      state = .collecting(head, route, path: path, body: ByteBuffer())
    }
  }

  /// Refuses at the head; the rest of the request is not waited for.
  private func reject(
    _ status: Int, _ reason: String, _ path: String, _ head: HTTPRequestHead,
    headers: [(name: String, value: String)] = []
  ) {
    refuse(PeerResponse(status: status, error: reason, headers: headers), path, head, isComplete: false)
  }

  private func addRemote(_ head: HTTPRequestHead) {
    guard let id = head.headers.first(name: PeerHeader.from).flatMap({ MemberText.id($0) }) else { return }
    network.addRemote(id, urls: head.headers.first(name: PeerHeader.peerURLs))
  }

  /// A complete request.
  func answer(_ head: HTTPRequestHead, _ route: PeerRoute, _ path: String, _ body: ByteBuffer) {
    switch route {
    case .pipeline: take(body, head, path)
    case .stream(let directory, let name): open(head, directory, name, path)
    case .probing: respond(probingAnswer, closes: !head.isKeepAlive)
    case .other: ask(head, path, body)
    case .snapshot: break
    }
  }

  func bodyBytesMax(_ route: PeerRoute) -> Int {
    switch route {
    case .pipeline: network.limits.messageBytes
    case .other(let bytesMax): bytesMax
    case .probing, .stream, .snapshot: 4 << 10
    }
  }

  func tooLarge(_ route: PeerRoute) -> PeerResponse {
    switch route {
    case .pipeline: PeerResponse(status: 400, error: PeerRefusal.unreadable, headers: clusterHeader)
    case .other, .probing, .stream, .snapshot:
      PeerResponse(status: 413, error: "http: request body too large")
    }
  }

  var clusterHeader: [(name: String, value: String)] { [(PeerHeader.cluster, network.identity.clusterText)] }

  private var streamHeaders: [(name: String, value: String)] {
    clusterHeader + [(PeerHeader.version, network.identity.version)]
  }

  // MARK: Posted messages

  private func take(_ body: ByteBuffer, _ head: HTTPRequestHead, _ path: String) {
    let message: Message
    do throws(PeerCodecError) {
      var queue = ByteQueue()
      queue.append(body)
      message = try queue.readMessage(body.readableBytes, as: Message.self) ?? Message()
    } catch {
      if let id = head.headers.first(name: PeerHeader.from).flatMap({ MemberText.id($0) }) {
        network.callbacks.notice(.malformed(peer: id, error))
        network.member(id)?.statistics.receiveFailures += 1
      }
      let response = PeerResponse(status: 400, error: PeerRefusal.malformed, headers: clusterHeader)
      refuse(response, path, head, isComplete: true)
      return
    }
    if let reason = refusal(of: message) {
      refuse(forbidden(reason), path, head, isComplete: true)
      return
    }
    guard network.mayRead(.message) else {
      let response = PeerResponse(status: 500, error: PeerRefusal.unprocessed, headers: clusterHeader)
      refuse(response, path, head, isComplete: true)
      return
    }
    network.member(message.from)?.statistics.receivedBytes += UInt64(body.readableBytes)
    network.deliver([message], from: message.from, bytes: body.readableBytes)
    respond(PeerResponse(status: 204, headers: clusterHeader), closes: !head.isKeepAlive)
  }

  /// What etcd's server checks before it steps a posted message or a snapshot's.
  func refusal(of message: Message) -> String? {
    if network.isRemoved(message.from) { return "cannot process message from removed member" }
    if message.to != network.identity.memberID { return "cannot process message to mismatch member" }
    return nil
  }

  func forbidden(_ reason: String) -> PeerResponse {
    PeerResponse(
      status: 403, headers: clusterHeader + [("Content-Type", "application/json")],
      body: Array("{\"message\":\"\(reason)\"}".utf8))
  }

  // MARK: Streams

  private func streamRefusal(
    _ head: HTTPRequestHead, _ directory: String, _ name: String
  ) -> (status: Int, reason: String)? {
    if let reason = network.identity.incompatibility(head.headers) { return (412, reason) }
    guard StreamKind(rawValue: directory) != nil else { return (404, PeerRefusal.invalidPath) }
    guard let id = MemberText.id(name) else { return (404, PeerRefusal.invalidSender) }
    if network.isRemoved(id) { return (410, PeerRefusal.removed) }
    guard network.member(id) != nil else {
      network.addRemote(id, urls: head.headers.first(name: PeerHeader.peerURLs))
      return (404, PeerRefusal.unknownSender)
    }
    let to = MemberText.hexadecimal(network.identity.memberID)
    return head.headers.first(name: PeerHeader.to) == to ? nil : (412, PeerRefusal.toMismatch)
  }

  /// The request is complete and was checked at its head; its sender may have been removed meanwhile.
  private func open(_ head: HTTPRequestHead, _ directory: String, _ name: String, _ path: String) {
    guard let context, let kind = StreamKind(rawValue: directory), let id = MemberText.id(name),
      let peer = network.member(id)
    else {
      let response = PeerResponse(status: 404, error: PeerRefusal.unknownSender, headers: streamHeaders)
      refuse(response, path, head, isComplete: true)
      return
    }
    var headers = HTTPHeaders(streamHeaders.map { ($0.name, $0.value) })
    headers.add(name: "Transfer-Encoding", value: "chunked")
    let answer = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
    context.writeAndFlush(wrapOutboundOut(.head(answer)), promise: nil)
    let stream = OutgoingStream(channel: context.channel)
    state = .streaming(stream)
    peer.attach(stream, kind)
  }

  // MARK: The rest

  private var probingAnswer: PeerResponse {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let body = ProbingAnswer.body(seconds: Int64(max(now.tv_sec, 0)), nanoseconds: Int64(now.tv_nsec))
    return PeerResponse(
      headers: [("Content-Type", "text/plain; charset=utf-8")], body: Array(body.utf8))
  }

  private func ask(_ head: HTTPRequestHead, _ path: String, _ body: ByteBuffer) {
    guard let context else { return }
    let request = PeerRequest(
      method: head.method.rawValue, path: path, headers: head.headers.map { ($0.name, $0.value) },
      body: Array(body.readableBytesView))
    let me = NIOLoopBound(self, eventLoop: context.eventLoop)
    let keepsAlive = head.isKeepAlive
    network.callbacks.answer(request, context.eventLoop).hop(to: context.eventLoop).whenComplete { result in
      guard case .answering = me.value.state else { return }
      switch result {
      case .success(let response): me.value.respond(response, closes: !keepsAlive)
      case .failure: me.value.respond(PeerResponse(status: 500, error: "Internal Server Error"), closes: true)
      }
    }
  }
}
