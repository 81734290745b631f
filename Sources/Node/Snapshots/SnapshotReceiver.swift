internal import Disk
public import Model
public import Snapshot

/// A snapshot that is complete, verified and durable on this member's disk; to be handed in as
/// `NodeInput.snapshotReceived`.
public struct ReceivedSnapshot: Hashable, Sendable {
  /// The leader's message, with what the file really holds.
  public var message: Message
  public var path: String
}

/// Why a snapshot was not taken; nothing of it is left.
public enum SnapshotReceiveError: Error, Hashable, Sendable, CustomStringConvertible {
  case snapshot(SnapshotError)
  /// More bytes came than were announced, or fewer.
  case wrongSize(expected: Int, found: Int)
  /// The message names no snapshot, or a state that the file does not hold.
  case mismatch(reason: String)

  public var description: String {
    switch self {
    case .snapshot(let error): error.description
    case .wrongSize(let expected, let found): "a snapshot of \(expected) bytes came with \(found)"
    case .mismatch(let reason): "the snapshot does not fit its message: \(reason)"
    }
  }
}

/// Takes in the bytes of a snapshot that a leader streams: into a file beside its place, which gets its name when it is
/// verified and synced. What comes is not trusted; it is bounded by the size announced. One thread at a time, not the
/// member's core: all of it is file work.
public final class SnapshotReceiver {
  private let place: SnapshotPlace
  private let message: Message
  private let wanted: SnapshotMetadata
  private let clusterID: UInt64
  private let bytesExpected: Int
  private let temporary: String
  private let file: any DiskFile
  private var offset = 0
  private var pacing = PacedWriting.besideLog
  private var isDone = false

  /// - Parameters:
  ///   - message: the leader's, of kind `snapshot`.
  ///   - bytesExpected: the size of the file as announced; the caller has checked it against its limits.
  ///   - number: of this receiver, unique in the process: two may be at work.
  public init(
    place: SnapshotPlace, message: Message, clusterID: UInt64, bytesExpected: Int, number: UInt64
  ) throws(SnapshotReceiveError) {
    guard message.kind == .snapshot, let wanted = message.snapshot, wanted.index > 0 else {
      throw .mismatch(reason: "it names none")
    }
    self.place = place
    self.message = message
    self.wanted = wanted
    self.clusterID = clusterID
    self.bytesExpected = bytesExpected
    let temporary = place.receivedPath(wanted) + ".\(number).part"
    self.temporary = temporary
    file = try onDisk { () throws(DiskError) in
      if try place.disk.exists(temporary) { try place.disk.remove(temporary) }
      return try place.disk.open(temporary, .create)
    }
  }

  deinit { abandon() }

  /// Bytes taken in so far.
  public var bytesReceived: Int { offset }

  /// Takes the next bytes of the file in.
  public func append(_ bytes: UnsafeRawBufferPointer) throws(SnapshotReceiveError) {
    precondition(!isDone, "a finished or abandoned snapshot takes no bytes")
    guard bytes.count <= bytesExpected - offset else {
      throw .wrongSize(expected: bytesExpected, found: offset + bytes.count)
    }
    try onDisk { () throws(DiskError) in
      try file.write(bytes, at: offset)
      try pacing.wrote(bytes.count, to: file)
    }
    offset += bytes.count
  }

  /// Ends the file: verifies every byte of it against its checksums, makes it durable and gives it its name.
  public func finish() throws(SnapshotReceiveError) -> ReceivedSnapshot {
    precondition(!isDone, "finished once")
    guard offset == bytesExpected else { throw .wrongSize(expected: bytesExpected, found: offset) }
    try onDisk { () throws(DiskError) in try file.syncData() }
    let header: SnapshotHeader
    do throws(SnapshotError) {
      header = try SnapshotReader.open(disk: place.disk, path: temporary) { _ in }.header
    } catch {
      throw .snapshot(error)
    }
    // The leader may send a later state than the one its message was about.
    let found = header.metadata
    guard header.clusterID == clusterID else { throw .mismatch(reason: "it is of another cluster") }
    guard found.index > 0, found.term > 0, found.term <= message.term else {
      throw .mismatch(
        reason: "it holds index \(found.index) of term \(found.term), in a message of term \(message.term)")
    }
    var complete = message
    complete.snapshot = found
    let path = place.receivedPath(found)
    try onDisk { () throws(DiskError) in
      try place.disk.rename(temporary, to: path)
      try place.disk.syncDirectory(place.directory)
    }
    isDone = true
    file.close()
    return ReceivedSnapshot(message: complete, path: path)
  }

  /// Removes what came so far.
  public func abandon() {
    if isDone { return }
    isDone = true
    file.close()
    do throws(DiskError) { try place.disk.remove(temporary) } catch {
      // It stays until the next start removes it: no reason to stop.
      return
    }
  }
}

private func onDisk<Result>(_ body: () throws(DiskError) -> Result) throws(SnapshotReceiveError) -> Result {
  do throws(DiskError) { return try body() } catch { throw .snapshot(.disk(error)) }
}
