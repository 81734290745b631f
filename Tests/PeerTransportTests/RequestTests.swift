import Model
import NIOCore
import Testing

@testable import PeerTransport

/// What the listener answers, compared with what etcd 3.5.1 answered to the same requests.
@Suite struct RequestTests {
  private static let good: [(name: String, value: String)] = [
    ("X-Server-From", "2"), ("X-Server-Version", "3.5.1"), ("X-Min-Cluster-Version", "3.0.0"),
    ("X-Etcd-Cluster-ID", "abc"), ("X-Raft-To", "1"),
  ]

  struct Case: Sendable {
    let method: String
    let path: String
    var without: String?
    var with: (name: String, value: String)?
    var body: [UInt8]?
    let status: Int
    let text: String
    var allow: String?
  }

  static let cases = [
    Case(method: "GET", path: "/raft", status: 405, text: "Method Not Allowed\n", allow: "POST"),
    Case(method: "GET", path: "/raft/snapshot", status: 405, text: "Method Not Allowed\n", allow: "POST"),
    Case(
      method: "POST", path: "/raft/stream/message/2", status: 405, text: "Method Not Allowed\n", allow: "GET"),
    Case(method: "POST", path: "/members", status: 405, text: "Method Not Allowed\n", allow: "GET"),
    Case(method: "GET", path: "/members/promote/1", status: 405, text: "Method Not Allowed\n", allow: "POST"),
    Case(method: "GET", path: "/leases", status: 405, text: "Method Not Allowed\n"),
    Case(method: "GET", path: "/raft/foo", status: 404, text: "404 page not found\n"),
    Case(method: "GET", path: "/members/", status: 404, text: "404 page not found\n"),
    Case(
      method: "POST", path: "/raft", without: "X-Server-Version", status: 412, text: "incompatible version\n"),
    Case(
      method: "POST", path: "/raft", with: ("X-Min-Cluster-Version", "4.0.0"), status: 412,
      text: "incompatible version\n"),
    Case(
      method: "POST", path: "/raft", with: ("X-Server-Version", "2.3.0"), status: 412,
      text: "incompatible version\n"),
    Case(
      method: "POST", path: "/raft", with: ("X-Server-Version", "bogus"), status: 412,
      text: "incompatible version\n"),
    Case(
      method: "POST", path: "/raft", with: ("X-Etcd-Cluster-ID", "abd"), status: 412,
      text: "cluster ID mismatch\n"),
    Case(
      method: "GET", path: "/raft/stream/message/2", with: ("X-Etcd-Cluster-ID", "abd"), status: 412,
      text: "cluster ID mismatch\n"),
    Case(
      method: "GET", path: "/raft/stream/message/2", with: ("X-Raft-To", "7"), status: 412,
      text: "to field mismatch\n"),
    Case(method: "GET", path: "/raft/stream/foo/2", status: 404, text: "invalid path\n"),
    Case(method: "GET", path: "/raft/stream/message/zz", status: 404, text: "invalid from\n"),
    Case(method: "GET", path: "/raft/stream/message/+2", status: 404, text: "invalid from\n"),
    Case(method: "GET", path: "/raft/stream/message/5", status: 404, text: "error sender not found\n"),
    Case(method: "GET", path: "/raft/stream/msgapp/9", status: 410, text: "removed member\n"),
    Case(
      method: "POST", path: "/raft", body: [0x08], status: 400, text: "error unmarshalling raft message\n"),
    Case(
      method: "POST", path: "/raft", body: Message(kind: .heartbeat, to: 1, from: 9, term: 1).encoded(),
      status: 403, text: #"{"message":"cannot process message from removed member"}"#),
    Case(
      method: "POST", path: "/raft", body: Message(kind: .heartbeat, to: 3, from: 2, term: 1).encoded(),
      status: 403, text: #"{"message":"cannot process message to mismatch member"}"#),
    Case(
      method: "POST", path: "/raft/snapshot", body: [0, 0, 0, 0, 0, 0, 0, 2, 8, 8], status: 400,
      text: "wrong raft message type\n"),
    Case(
      method: "POST", path: "/raft/snapshot", body: [0, 0, 0, 0, 0, 0, 0, 2, 8], status: 400,
      text: "failed to decode raft message (unexpected EOF)\n"),
    Case(
      method: "POST", path: "/raft/snapshot", body: [], status: 400,
      text: "failed to decode raft message (EOF)\n"),
    Case(
      method: "POST", path: "/raft/snapshot", body: [255, 0, 0, 0, 0, 0, 0, 2, 8], status: 400,
      text: "failed to decode raft message (rafthttp: error limit exceeded)\n"),
    Case(method: "GET", path: "/members", status: 200, text: "GET /members 0"),
    Case(method: "GET", path: "/version", status: 200, text: "GET /version 0"),
    Case(
      method: "POST", path: "/leases/internal", body: [1, 2, 3], status: 200, text: "POST /leases/internal 3"),
    Case(method: "POST", path: "/members/promote/77", status: 200, text: "POST /members/promote/77 0"),
    Case(
      method: "POST", path: "/leases", body: Array(repeating: 1, count: 70_000), status: 413,
      text: "http: request body too large\n"),
  ]

  @Test func `refusals are etcd's`() throws {
    let member = try TestMember(id: 1, removed: [9])
    defer { #expect(throws: Never.self) { try member.stop() } }
    member.transport.add(2, urls: [try #require(PeerURL("http://127.0.0.1:1"))])
    let other = try TestMember(id: 3)
    defer { #expect(throws: Never.self) { try other.stop() } }
    for each in Self.cases {
      var headers = Self.good.filter { $0.name != each.without && $0.name != each.with?.name }
      if let with = each.with { headers.append(with) }
      let response = try other.transport.client.call(
        each.method, try member.url, path: each.path, headers: headers, body: each.body,
        timeout: 10_000_000_000
      ).wait()
      let name: Comment = "\(each.method) \(each.path) \(each.with?.value ?? each.without ?? "")"
      #expect(response.status == each.status, name)
      #expect(String(decoding: response.body, as: UTF8.self) == each.text, name)
      let allow = response.headers.first { $0.name == "Allow" }?.value
      #expect(allow == each.allow, name)
    }
    #expect(member.now.messages.isEmpty, "nothing of what was refused was delivered")
    let malformed = member.now.notices.contains { notice in
      if case .malformed(peer: 2, _) = notice { return true }
      return false
    }
    #expect(malformed, "the sender is named")
  }

  @Test func `a posted message is delivered, a probe answered`() throws {
    let member = try TestMember(id: 1)
    defer { #expect(throws: Never.self) { try member.stop() } }
    let message = Message(kind: .vote, to: 1, from: 5, term: 3)
    let response = try member.transport.client.call(
      "POST", try member.url, path: "/raft", headers: Self.good, body: message.encoded(),
      timeout: 10_000_000_000
    ).wait()
    #expect(response.status == 204 && response.body.isEmpty)
    #expect(response.headers.contains { $0.name == "X-Etcd-Cluster-ID" && $0.value == "abc" })
    #expect(member.now.messages == [message])
    let probe = try member.transport.client.call(
      "GET", try member.url, path: "/raft/probing", timeout: 10_000_000_000
    ).wait()
    #expect(probe.status == 200 && ProbingAnswer.isFine(probe.body))
  }

  @Test func `a probe's time is written as Go writes it`() {
    #expect(
      ProbingAnswer.body(seconds: 1_795_844_334, nanoseconds: 373_567_050)
        == "{\"OK\":true,\"Now\":\"2026-11-28T05:38:54.37356705Z\"}\n")
    #expect(
      ProbingAnswer.body(seconds: 951_782_400, nanoseconds: 0)
        == "{\"OK\":true,\"Now\":\"2000-02-29T00:00:00Z\"}\n")
  }

  @Test func `URLs are read as members write them`() {
    #expect(PeerURL("http://127.0.0.1:2380")?.authority == "127.0.0.1:2380")
    #expect(PeerURL("https://[::1]:2380/")?.authority == "[::1]:2380")
    for text in [
      "", "http://", "http://:1", "ftp://a:1", "http://a", "http://a:0", "http://a:65536", "http://a:+1",
    ] {
      #expect(PeerURL(text) == nil, "\(text)")
    }
    for text in ["http://a:1/x", "http://u@a:1", "http://a b:1", "http://a:1\r\nX: y", "http://a:b:1"] {
      #expect(PeerURL(text) == nil, "\(text)")
    }
  }
}
