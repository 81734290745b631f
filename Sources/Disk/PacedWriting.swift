/// How a large file that grows at its end reaches the disk: a step every 8 MiB, so that little is left for the last sync. One
/// owner at a time.
public struct PacedWriting: Sendable {
  public static let stepBytes = 8 << 20

  private let syncs: Bool
  private var bytes = 0

  private init(syncs: Bool) { self.syncs = syncs }

  /// As fast as the disk takes it: at each step the kernel is told to begin with what was written.
  public static let alone = PacedWriting(syncs: false)

  /// Beside a log that is synced all the time: at each step the file is synced, because one sync of all of it would hold
  /// up every other on the disk. Measured with 1 GiB: the log then waits for tens of milliseconds at a time, instead of
  /// once for half a second.
  public static let besideLog = PacedWriting(syncs: true)

  /// To be called after each write.
  public mutating func wrote(_ count: Int, to file: any DiskFile) throws(DiskError) {
    bytes += count
    guard bytes >= Self.stepBytes else { return }
    bytes = 0
    if syncs { try file.syncData() } else { try file.startWriteback() }
  }
}
