import Disk

/// The slow file work a log wants done beside its flushes: recycling or removing purged segments, writing spare ones.
/// `run` may be called on any thread; its result goes back to the log by `WriteAheadLog.adopt`.
public struct SegmentPreparation: Sendable {
  let disk: any Disk
  let directory: String
  let segmentBytes: Int
  let wanted: Int
  let firstName: UInt64
  let retired: [WriteAheadLog.Segment]

  /// Does the work as far as the disk lets it.
  public func run() -> PreparedSegments {
    var result = PreparedSegments(spares: [], retired: retired, failure: nil)
    var name = firstName
    do throws(DiskError) {
      // In ascending order, each durable before the next: a crash must not leave a gap between segments.
      for segment in retired {
        if result.spares.count < wanted, isReusable(segment) {
          let path = "\(directory)/\(digits(name))\(SparePool.reusedSuffix)"
          name += 1
          try disk.rename(segment.path, to: path)
          result.retired.removeFirst()
          result.spares.append(.init(path: path, bytes: segment.fileBytes, isReused: true))
        } else {
          try disk.remove(segment.path)
          result.retired.removeFirst()
        }
        try disk.syncDirectory(directory)
      }
      while result.spares.count < wanted {
        result.spares.append(
          try SparePool.makeFresh(disk, directory, name: name, bytes: segmentBytes))
        name += 1
      }
    } catch {
      result.failure = error
    }
    return result
  }

  /// Files that became far larger for one large entry, or come from other options, are not kept.
  private func isReusable(_ segment: WriteAheadLog.Segment) -> Bool {
    segment.fileBytes >= segmentBytes && segment.fileBytes <= 2 * segmentBytes
  }
}

/// What a `SegmentPreparation` has done.
public struct PreparedSegments: Sendable {
  var spares: [SparePool.Spare]
  /// Purged segments that are still there.
  var retired: [WriteAheadLog.Segment]
  var failure: DiskError?
}

extension WriteAheadLog {
  /// The file work that waits to be done, or nil when there is none or some is out already. Ask after a flush that
  /// rolled or a purge; it costs nothing.
  public func nextPreparation() -> SegmentPreparation? {
    let wanted = max(0, options.spareSegments - spares.ready.count)
    guard !spares.isPreparing, wanted > 0 || !spares.retired.isEmpty else { return nil }
    spares.isPreparing = true
    defer { spares.retired = [] }
    return SegmentPreparation(
      disk: disk, directory: directory, segmentBytes: options.segmentBytes, wanted: wanted,
      firstName: spares.takeNames(wanted), retired: spares.retired)
  }

  /// Takes the result of a preparation. Throws what stopped it, after taking over what was done; the log itself stays
  /// usable, and the rest is tried again with the next preparation.
  public func adopt(_ prepared: PreparedSegments) throws(LogError) {
    spares.isPreparing = false
    spares.ready += prepared.spares
    spares.retired = prepared.retired + spares.retired
    if let failure = prepared.failure { throw .disk(failure) }
  }

  /// Does the waiting file work at once, on this thread: for tests, simulation and small tools.
  public func prepareNextSegment() throws(LogError) {
    if let preparation = nextPreparation() { try adopt(preparation.run()) }
  }
}
