public import Disk
import Model

/// All that a log object is made of.
struct OpenedLog {
  var disk: any Disk
  var directory: String
  var identity: LogIdentity
  var options: LogOptions
  var salt: Salt
  var segments: [WriteAheadLog.Segment]
  var file: any DiskFile
  var headerEnd: Int
  var end: Int
  var chain: UInt32
  var nextFrame: UInt64
  var state: LogState
  var nextIndex: UInt64
  var spares: SparePool
  var catalog: LogCatalog
  var lock: any DiskLock
}

extension WriteAheadLog {
  /// Opens the log in `directory`, or creates it there, and returns what it holds. Refuses, changing nothing, what is
  /// damaged or belongs to others. An unsynced last batch is cut off, and what was kept of it is made durable.
  public static func open(
    disk: any Disk, directory: String, identity: LogIdentity, options: LogOptions
  ) throws(LogError) -> (log: WriteAheadLog, recovered: RecoveredLog) {
    precondition(
      options.segmentBytes >= 4 * LogFormat.segmentHeaderUnit && options.segmentBytes % 512 == 0
        && options.frameBytes > 0 && options.frameBytes <= LogFormat.payloadBytesMax / 2,
      "log options within the format's bounds")
    let lock = try prepareDirectory(disk, directory, options)
    let listing = try LogListing(try onDisk { () throws(DiskError) in try disk.list(directory) }, directory)
    if listing.segments.isEmpty {
      // Spares without segments are what is left of a log.
      guard options.absence == .create, !listing.hasSpares else { throw .missing(directory: directory) }
      return try create(disk, directory, identity, options, lock, listing)
    }
    var recovery = LogRecovery(disk: disk, directory: directory, identity: identity, options: options)
    try recovery.run(listing.segments)
    guard let last = recovery.segments.last else { throw .missing(directory: directory) }
    let file = try repair(disk, directory, last, isClean: recovery.recovered.wasClean)
    let segments = recovery.segments.map { found in
      Segment(
        path: found.path, sequence: found.header.sequence, highestIndex: found.highestIndex,
        fileBytes: max(found.fileBytes, found.header.segmentBytes), headerBytes: found.header.headerBytes,
        end: found.end)
    }
    let opened = OpenedLog(
      disk: disk, directory: directory, identity: identity, options: options,
      salt: Salt(of: last.header.salt, sequence: last.header.sequence), segments: segments, file: file,
      headerEnd: last.header.headerBytes, end: last.end, chain: last.chain, nextFrame: last.nextFrame,
      state: recovery.state, nextIndex: recovery.recovered.lastIndex + 1,
      spares: try listing.spares(disk, directory, options), catalog: recovery.catalog, lock: lock)
    return (WriteAheadLog(opened), recovery.recovered)
  }

  /// What `open` would return, without changing anything or taking the log's lock: whoever calls it keeps others from
  /// writing.
  public static func read(
    disk: any Disk, directory: String, identity: LogIdentity, options: LogOptions
  ) throws(LogError) -> RecoveredLog {
    guard try onDisk({ () throws(DiskError) in try disk.exists(directory) }) else {
      throw .missing(directory: directory)
    }
    let listing = try LogListing(try onDisk { () throws(DiskError) in try disk.list(directory) }, directory)
    guard !listing.segments.isEmpty else { throw .missing(directory: directory) }
    var recovery = LogRecovery(disk: disk, directory: directory, identity: identity, options: options)
    try recovery.run(listing.segments)
    return recovery.recovered
  }

  private static func prepareDirectory(
    _ disk: any Disk, _ directory: String, _ options: LogOptions
  ) throws(LogError) -> any DiskLock {
    let exists = try onDisk { () throws(DiskError) in try disk.exists(directory) }
    if !exists {
      guard options.absence == .create else { throw .missing(directory: directory) }
      try onDisk { () throws(DiskError) in try disk.createDirectories(directory) }
    }
    do throws(DiskError) {
      return try disk.lock("\(directory)/\(LogListing.lockName)")
    } catch {
      throw error.code == .locked ? .locked(directory: directory) : .disk(error)
    }
  }

  private static func create(
    _ disk: any Disk, _ directory: String, _ identity: LogIdentity, _ options: LogOptions,
    _ lock: any DiskLock,
    _ listing: LogListing
  ) throws(LogError) -> (log: WriteAheadLog, recovered: RecoveredLog) {
    let salt = Salt(mask: options.saltSeed)
    var header = SegmentHeader(
      identity: identity, sequence: 1, firstIndex: 1, firstFrame: 1, salt: salt.value(1), chain: 0,
      chainEnd: 0,
      segmentBytes: options.segmentBytes, headerBytes: 0, isReused: false)
    let (bytes, checksum) = header.encode(state: [])
    let path = "\(directory)/\(SegmentName(sequence: 1, firstIndex: 1).text)"
    let temporary = "\(directory)/\(digits(0))\(SparePool.temporarySuffix)"
    let spares = try listing.spares(disk, directory, options)
    let file = try onDisk { () throws(DiskError) in
      let file = try disk.open(temporary, .create)
      try file.write(bytes, at: 0)
      try file.preallocate(to: options.segmentBytes)
      try file.syncData()
      try disk.rename(temporary, to: path)
      try disk.syncDirectory(directory)
      return file
    }
    let segment = Segment(
      path: path, sequence: 1, highestIndex: 0, fileBytes: options.segmentBytes,
      headerBytes: header.headerBytes, end: header.headerBytes)
    let opened = OpenedLog(
      disk: disk, directory: directory, identity: identity, options: options, salt: salt, segments: [segment],
      file: file, headerEnd: header.headerBytes, end: header.headerBytes, chain: checksum, nextFrame: 1,
      state: LogState(), nextIndex: 1, spares: spares, catalog: LogCatalog(nextIndex: 1), lock: lock)
    var recovered = RecoveredLog()
    recovered.isNew = true
    return (WriteAheadLog(opened), recovered)
  }

  /// Brings the last segment into the state in which frames can follow, and makes it durable.
  private static func repair(
    _ disk: any Disk, _ directory: String, _ last: FoundSegment, isClean: Bool
  ) throws(LogError) -> any DiskFile {
    try onDisk { () throws(DiskError) in
      let file = try disk.open(last.path, .readWrite)
      if isClean && last.fileBytes >= last.header.segmentBytes { return file }
      // Remnants must go: a new frame of the same content as the torn one would make those behind it valid again.
      if last.tornBytes > 0 {
        try file.write([UInt8](repeating: 0, count: last.tornBytes), at: last.end)
      }
      // The last flush may have been written and not synced, and after a failed sync the kernel takes its pages
      // for clean: only writing it again makes sure.
      if last.end > last.durableBytes {
        var bytes = [UInt8](repeating: 0, count: last.end - last.durableBytes)
        _ = try bytes.withUnsafeMutableBufferPointer { (buffer) throws(DiskError) in
          try file.read(at: last.durableBytes, into: UnsafeMutableRawBufferPointer(buffer))
        }
        try file.write(bytes, at: last.durableBytes)
      }
      try file.preallocate(to: last.header.segmentBytes)
      try file.syncData()
      try disk.syncDirectory(directory)
      return file
    }
  }
}

/// The files of a log's directory, by their names.
struct LogListing {
  static let lockName = "lock"

  var segments: [SegmentName] = []
  private var temporary: [String] = []
  private var fresh: [String] = []
  private var reused: [String] = []

  var hasSpares: Bool { !fresh.isEmpty || !reused.isEmpty }

  init(_ names: [String], _ directory: String) throws(LogError) {
    for name in names {
      if name.hasSuffix(SegmentName.suffix) {
        guard let segment = SegmentName(name) else {
          throw .corrupt(file: "\(directory)/\(name)", offset: 0, reason: "the name is not one of a segment")
        }
        segments.append(segment)
      } else if name.hasSuffix(SparePool.temporarySuffix) {
        temporary.append(name)
      } else if name.hasSuffix(SparePool.freshSuffix) {
        fresh.append(name)
      } else if name.hasSuffix(SparePool.reusedSuffix) {
        reused.append(name)
      }
    }
    segments.sort { $0.sequence < $1.sequence }
  }

  /// Removes what was left half-made or does not fit the options, and takes over the spares.
  func spares(
    _ disk: any Disk, _ directory: String, _ options: LogOptions
  ) throws(LogError) -> SparePool {
    var pool = SparePool()
    for name in temporary + fresh + reused {
      if let number = UInt64(name.prefix { $0 != "." }, radix: 16), number < .max {
        pool.nextName = max(pool.nextName, number + 1)
      }
    }
    try onDisk { () throws(DiskError) in
      for name in temporary { try disk.remove("\(directory)/\(name)") }
      for name in fresh + reused {
        let path = "\(directory)/\(name)"
        let file = try disk.open(path, .read)
        let bytes = try file.size()
        file.close()
        if bytes >= options.segmentBytes, pool.ready.count < options.spareSegments {
          pool.ready.append(.init(path: path, bytes: bytes, isReused: name.hasSuffix(SparePool.reusedSuffix)))
        } else {
          try disk.remove(path)
        }
      }
    }
    return pool
  }
}
