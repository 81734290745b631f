import Crypto
public import Disk

/// The bytes of a finished snapshot file as `Maintenance.Snapshot` sends them: pieces of 32 KiB, then 32 bytes of
/// SHA-256 over all of them, which `etcdctl snapshot save` checks. One owner at a time.
public struct SnapshotStream {
  public static let pieceBytes = 32 << 10

  /// One message of the stream.
  public struct Piece: Hashable, Sendable {
    public var bytes: [UInt8]
    /// Bytes of the file that follow this piece; the digest is not counted.
    public var remaining: Int
  }

  private enum State { case data, done }

  public let size: Int
  private let file: any DiskFile
  private let path: String
  private var offset = 0
  private var hash = SHA256()
  private var state = State.data

  /// Opens a finished file, which must not change while it is sent.
  public init(disk: any Disk, path: String) throws(SnapshotError) {
    self.path = path
    file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
    size = try onDisk { [file] () throws(DiskError) in try file.size() }
  }

  /// The next message, nil after the digest.
  public mutating func next() throws(SnapshotError) -> Piece? {
    switch state {
    case .done: return nil
    case .data where offset < size:
      let bytes = try read(file, path, min(Self.pieceBytes, size - offset), at: offset)
      bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
      offset += bytes.count
      return Piece(bytes: bytes, remaining: size - offset)
    case .data:
      state = .done
      return Piece(bytes: Array(hash.finalize()), remaining: 0)
    }
  }
}
