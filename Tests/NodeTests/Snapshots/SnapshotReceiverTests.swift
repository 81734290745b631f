import Disk
import Model
import Node
import Primitives
import Snapshot
import Testing

/// What a peer sends as a snapshot is taken whole and verified, or refused and gone.
@Suite struct SnapshotReceiverTests {
  private static let directory = "/snapshots"
  private static let clusterID: UInt64 = 0xc1
  private static let metadata = SnapshotMetadata(
    confState: ConfState(voters: [1, 2, 3]), index: 500, term: 4)

  private let disk: SimulatedDisk
  private let place: SnapshotPlace

  init() throws {
    disk = SimulatedDisk()
    try disk.createDirectories(Self.directory)
    place = SnapshotPlace(disk: disk, directory: Self.directory) {
      preconditionFailure("nothing is installed")
    }
  }

  /// The bytes of a small snapshot.
  private func file(
    cluster: UInt64 = clusterID, metadata: SnapshotMetadata = metadata
  ) throws -> [UInt8] {
    let disk = SimulatedDisk()
    try disk.createDirectories("/other")
    let header = SnapshotHeader(
      clusterID: cluster, memberID: 2, revision: 77, metadata: metadata, tables: [.init(id: 1, name: "rev")])
    let writer = try SnapshotWriter(
      disk: disk, path: "/other/a", header: header, compressionLevel: 1, chunkBytes: 512, progress: { _ in })
    for number in UInt8(0)..<40 {
      let (key, value) = ([number, number], [UInt8](repeating: number, count: 100))
      try key.withUnsafeBufferPointer { (key) throws(SnapshotError) in
        try value.withUnsafeBufferPointer { (value) throws(SnapshotError) in
          try writer.append(table: 1, key: UnsafeRawBufferPointer(key), value: UnsafeRawBufferPointer(value))
        }
      }
    }
    _ = try writer.finish()
    let file = try disk.open("/other/a", .read)
    var bytes = [UInt8](repeating: 0, count: try file.size())
    _ = try bytes.withUnsafeMutableBytes { (buffer) throws(DiskError) in try file.read(at: 0, into: buffer) }
    return bytes
  }

  private func message(_ snapshot: SnapshotMetadata? = metadata, term: UInt64 = 6) -> Message {
    Message(kind: .snapshot, to: 1, from: 2, term: term, snapshot: snapshot)
  }

  private func receive(
    _ bytes: [UInt8], pieceBytes: Int = 333, announced: Int? = nil, message: Message? = nil
  ) throws(SnapshotReceiveError) -> ReceivedSnapshot {
    let receiver = try SnapshotReceiver(
      place: place, message: message ?? self.message(), clusterID: Self.clusterID,
      bytesExpected: announced ?? bytes.count, number: 1)
    for offset in stride(from: 0, to: bytes.count, by: pieceBytes) {
      try append(bytes[offset..<min(offset + pieceBytes, bytes.count)], to: receiver)
    }
    return try receiver.finish()
  }

  private func append(_ piece: ArraySlice<UInt8>, to receiver: SnapshotReceiver) throws(SnapshotReceiveError)
  {
    try piece.withUnsafeBufferPointer { (piece) throws(SnapshotReceiveError) in
      try receiver.append(UnsafeRawBufferPointer(piece))
    }
  }

  private func expectNothingLeft() throws {
    #expect(try disk.list(Self.directory) == [])
  }

  @Test(arguments: [1, 7, 333, 1 << 20])
  func whatIsWholeIsKept(pieceBytes: Int) throws {
    let bytes = try file()
    let received = try receive(bytes, pieceBytes: pieceBytes)
    #expect(received.message == message())
    #expect(try disk.list(Self.directory).count == 1)
    var random = SeededRandom(seed: 1)
    disk.crash(.loseEverything, random: &random)
    _ = try SnapshotReader.open(disk: disk, path: received.path) { _ in }
  }

  /// Between the message and the bytes the leader may have gone on.
  @Test func theMessageNamesWhatTheFileHolds() throws {
    var later = Self.metadata
    later.index = 900
    let received = try receive(try file(metadata: later))
    #expect(received.message.snapshot == later)
  }

  @Test func everyCutIsRefused() throws {
    let bytes = try file()
    for length in 0..<bytes.count {
      let part = Array(bytes[..<length])
      #expect(throws: SnapshotReceiveError.wrongSize(expected: bytes.count, found: length)) {
        try receive(part, announced: bytes.count)
      }
      #expect(throws: SnapshotReceiveError.self) { try receive(part) }
    }
    #expect(throws: SnapshotReceiveError.self) { try receive(bytes + [0], announced: bytes.count) }
    #expect(throws: SnapshotReceiveError.self) { try receive(bytes + [0]) }
    try expectNothingLeft()
  }

  @Test func everyFlippedBitIsRefused() throws {
    var bytes = try file()
    for bit in 0..<bytes.count * 8 {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: SnapshotReceiveError.self, "bit \(bit)") { try receive(bytes, pieceBytes: 4096) }
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
    try expectNothingLeft()
  }

  @Test func whatIsOfAnotherClusterOrOfTheFutureIsRefused() throws {
    let foreign = try file(cluster: 0xc2)
    #expect(throws: SnapshotReceiveError.mismatch(reason: "it is of another cluster")) {
      try receive(foreign)
    }
    let bytes = try file()
    #expect(throws: SnapshotReceiveError.self) { try receive(bytes, message: message(term: 3)) }
    for odd in [
      SnapshotMetadata(confState: ConfState(voters: [1]), index: 0, term: 4),
      SnapshotMetadata(confState: ConfState(voters: [1]), index: 5, term: 0),
    ] {
      let bytes = try file(metadata: odd)
      #expect(throws: SnapshotReceiveError.self) { try receive(bytes) }
    }
    try expectNothingLeft()
  }

  @Test func aMessageThatNamesNoSnapshotIsRefused() throws {
    let bytes = try file()
    let none = SnapshotMetadata(confState: ConfState(), index: 0, term: 1)
    for message in [message(nil), message(none), Message(kind: .append, to: 1, from: 2, term: 6)] {
      #expect(throws: SnapshotReceiveError.mismatch(reason: "it names none")) {
        try receive(bytes, message: message)
      }
    }
    try expectNothingLeft()
  }

  @Test func whatIsAbandonedIsGone() throws {
    let bytes = try file()
    for abandons in [true, false] {
      let receiver = try SnapshotReceiver(
        place: place, message: message(), clusterID: Self.clusterID, bytesExpected: bytes.count, number: 1)
      try append(bytes[..<100], to: receiver)
      #expect(receiver.bytesReceived == 100)
      #expect(try disk.list(Self.directory).count == 1)
      if abandons { receiver.abandon() }
    }
    try expectNothingLeft()
  }

  /// Two leaders may send at a time: neither writes into the other's file.
  @Test func twoAtATimeDoNotMeet() throws {
    let bytes = try file()
    let receivers = try (UInt64(1)...2).map { number in
      try SnapshotReceiver(
        place: place, message: message(), clusterID: Self.clusterID, bytesExpected: bytes.count,
        number: number)
    }
    for offset in bytes.indices {
      for receiver in receivers { try append(bytes[offset...offset], to: receiver) }
    }
    for receiver in receivers {
      let received = try receiver.finish()
      _ = try SnapshotReader.open(disk: disk, path: received.path) { _ in }
    }
  }
}
