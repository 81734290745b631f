import Foundation
import Glibc
import Synchronization
import Testing

@testable import Server

/// A clock that moves a second with each look.
final class Ticking: Sendable {
  private let milliseconds: Mutex<Int64>

  init(_ start: LogTimestamp) { milliseconds = Mutex(start.milliseconds) }

  func next() -> LogTimestamp {
    milliseconds.withLock { milliseconds in
      milliseconds += 1_000
      return LogTimestamp(milliseconds: milliseconds)
    }
  }
}

/// Datagrams to the journal and to the service manager.
@Suite struct JournalTests {
  private func line(_ text: String, _ level: LogLevel = .info) -> LogLine {
    LogLine(bytes: Array("\(text)\n".utf8), level: level, caller: "server/member.swift:12")
  }

  @Test func `a line becomes the journal's fields`() {
    let datagram = String(decoding: JournalSocket.datagram(line("{\"msg\":\"m\"}", .warn)), as: UTF8.self)
    #expect(
      datagram == "PRIORITY=4\nPACKAGE=server\nSYSLOG_IDENTIFIER=cairn\nMESSAGE={\"msg\":\"m\"}\n")
  }

  @Test(arguments: [
    (LogLevel.debug, 7), (.info, 6), (.warn, 4), (.error, 3), (.panic, 2), (.fatal, 2),
  ])
  func `priorities`(_ level: LogLevel, _ priority: Int) {
    let datagram = String(decoding: JournalSocket.datagram(line("m", level)), as: UTF8.self)
    #expect(datagram.hasPrefix("PRIORITY=\(priority)\n"))
  }

  @Test func `a value with line breaks has its length before it`() {
    let datagram = JournalSocket.datagram(line("a\nb"))
    #expect(
      datagram.suffix(20).elementsEqual(
        Array("MESSAGE\n".utf8) + [3, 0, 0, 0, 0, 0, 0, 0] + Array("a\nb\n".utf8)))
  }

  @Test func `no journal is etcd's error`() {
    #expect {
      try JournalSocket(path: "/no/such/socket")
    } throws: { error in
      "\(error)" == "can't find journal (dial unixgram /no/such/socket: connect: no such file or directory)"
    }
  }

  @Test(arguments: ["/file", "@abstract"]) func `datagrams arrive`(_ kind: String) throws {
    let name = "cairn-\(UUID().uuidString)"
    let path = kind == "/file" ? NSTemporaryDirectory() + name : "@" + name
    defer { unlink(path) }
    let receiver = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(receiver) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    if kind == "@abstract" { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(2 + bytes.count + (kind == "/file" ? 1 : 0))
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(receiver, $0, length) }
    }
    try #require(bound == 0)
    let logger = Logger(level: .info, format: .json, outputs: [])
    ServiceNotifier(socketPath: path, logger: logger).ready()
    var buffer = [UInt8](repeating: 0, count: 1_000)
    let count = recv(receiver, &buffer, buffer.count, 0)
    #expect(
      String(decoding: buffer.prefix(max(0, count)), as: UTF8.self) == "READY=1\nSTATUS=serving clients")
  }

  @Test func `a path that is too long or empty is an error, not a trap`() {
    #expect(UnixSocket.datagram(path: "").error == ENAMETOOLONG)
    #expect(UnixSocket.datagram(path: String(repeating: "x", count: 200)).error == ENAMETOOLONG)
    #expect(UnixSocket.datagram(path: String(repeating: "x", count: 107)).error == ENOENT)
  }

  @Test func `another stream than standard error is not the journal`() {
    #expect(!JournalSocket.isStandardError("0:0"))
    #expect(!JournalSocket.isStandardError(""))
    #expect(!JournalSocket.isStandardError("rubbish"))
  }
}
