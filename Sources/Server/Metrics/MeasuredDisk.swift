internal import Disk
internal import Metrics

/// What the log's files cost. Written by whichever thread uses a file.
final class LogDiskMetrics: Sendable {
  let writtenBytes = SharedCounter()
  let writes = Histogram(.seconds(from: 0.001, count: 14))
  let syncs = Histogram(.seconds(from: 0.001, count: 14))
}

/// The disk of the write-ahead log, with its writes and syncs measured. Files that are prepared ahead beside the log are
/// not: nobody waits for them.
struct MeasuredDisk: Disk {
  private let disk: PosixDisk
  private let metrics: LogDiskMetrics

  init(_ disk: PosixDisk, _ metrics: LogDiskMetrics) {
    self.disk = disk
    self.metrics = metrics
  }

  func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
    MeasuredFile(try disk.open(path, mode), metrics)
  }

  func createDirectory(_ path: String) throws(DiskError) { try disk.createDirectory(path) }
  func rename(_ path: String, to newPath: String) throws(DiskError) { try disk.rename(path, to: newPath) }
  func remove(_ path: String) throws(DiskError) { try disk.remove(path) }
  func removeDirectory(_ path: String) throws(DiskError) { try disk.removeDirectory(path) }
  func list(_ directory: String) throws(DiskError) -> [String] { try disk.list(directory) }
  func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(path) }
  func exists(_ path: String) throws(DiskError) -> Bool { try disk.exists(path) }
  func lock(_ path: String) throws(DiskError) -> any DiskLock { try disk.lock(path) }
}

private final class MeasuredFile: DiskFile {
  private let file: any DiskFile
  private let metrics: LogDiskMetrics
  /// Something was written since the last sync, other than zeros ahead.
  private var isDirty = false

  init(_ file: any DiskFile, _ metrics: LogDiskMetrics) {
    self.file = file
    self.metrics = metrics
  }

  var path: String { file.path }

  func size() throws(DiskError) -> Int { try file.size() }

  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    try file.read(at: offset, into: buffer)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
    let began = monotonicNanoseconds()
    try file.write(bytes, at: offset)
    metrics.writes.observeShared(monotonicNanoseconds() - began)
    metrics.writtenBytes.add(UInt64(bytes.count))
    isDirty = true
  }

  func truncate(to size: Int) throws(DiskError) { try file.truncate(to: size) }

  func preallocate(to size: Int) throws(DiskError) { try file.preallocate(to: size) }

  func syncData() throws(DiskError) {
    guard isDirty else { return try file.syncData() }
    let began = monotonicNanoseconds()
    try file.syncData()
    metrics.syncs.observeShared(monotonicNanoseconds() - began)
    isDirty = false
  }

  func close() { file.close() }
}
