/// How a large file that grows at its end reaches the disk. The kernel is told to begin with what was written every 8 MiB,
/// so that little is left for the last sync. One owner at a time.
public struct PacedWriting: Sendable {
  private static let writebackBytes = 8 << 20

  private let syncBytes: Int
  private var unstarted = 0
  private var unsynced = 0

  private init(syncBytes: Int) { self.syncBytes = syncBytes }

  /// As fast as the disk takes it.
  public static let alone = PacedWriting(syncBytes: .max)

  /// Beside a log that is synced all the time: the file is synced as it grows, because one sync of all of it would hold up
  /// every other on the disk. Measured with 1 GiB: the log then waits for tens of milliseconds at a time, instead of once
  /// for half a second.
  public static let besideLog = PacedWriting(syncBytes: 32 << 20)

  /// To be called after each write.
  public mutating func wrote(_ bytes: Int, to file: any DiskFile) throws(DiskError) {
    unstarted += bytes
    unsynced += bytes
    if unsynced >= syncBytes {
      unsynced = 0
      unstarted = 0
      try file.syncData()
    } else if unstarted >= Self.writebackBytes {
      unstarted = 0
      try file.startWriteback()
    }
  }
}
