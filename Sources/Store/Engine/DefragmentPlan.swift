public import Disk

/// What a defragmentation needs to know of the world around the store.
public struct DefragmentPlan: Sendable {
  public var disk: any Disk
  /// The new file. It must not be in use; what a crash left there is removed first.
  public var path: String
  /// Called once, on the committer's thread, when the new file is complete and synced: makes it the one that
  /// the next start opens. Durable when it returns, the file's name included.
  public var adopt: @Sendable () throws(AdoptionError) -> Void

  public init(
    disk: any Disk, path: String, adopt: @escaping @Sendable () throws(AdoptionError) -> Void
  ) {
    self.disk = disk
    self.path = path
    self.adopt = adopt
  }
}

/// Why the next start would not, or might not, open the new file.
public enum AdoptionError: Error, Hashable, Sendable {
  /// The old file is still the one that a start opens: the store goes on with it.
  case refused(DiskError)
  /// Nobody knows which of the two a start would open. Both are good now, but not after one more commit, so
  /// the store stops.
  case unknown(DiskError)
}

/// What a defragmentation did.
public struct DefragmentReport: Hashable, Sendable {
  /// The file in use now.
  public var path: String
  public var rows: Int
  /// Pages that hold or held data, in bytes (`StoreSizes.databaseBytes`).
  public var bytesBefore: Int64
  public var bytesAfter: Int64
  public var nanoseconds: UInt64
}

/// What one slice of work beside the commits came to, see `Committer.workNext`.
public enum WorkReport: Hashable, Sendable {
  /// There may be more.
  case progressed
  case defragmented(DefragmentReport)
  /// The store goes on with the file it had; what was built is removed.
  case defragmentationFailed(StoreError)
  /// The file that a defragmentation replaced could not be removed; the next start tries again.
  case removalFailed(StoreError)
  /// The scrub has read everything and found nothing more.
  case scrubbed(ScrubReport)
  /// The scrub could not go on, for other reasons than damage; the next pass tries again.
  case scrubFailed(StoreError)
  /// The scrub found damage: file, table and key or page of each place. The store goes on serving what it can.
  case damaged([StoreError])
}
