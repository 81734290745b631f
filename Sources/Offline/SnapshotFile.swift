internal import Disk
internal import Glibc
internal import Model
internal import Snapshot
internal import Store

/// A verified snapshot file, and its rows with their checksums held.
struct SnapshotFile {
  let path: String
  let reader: SnapshotReader
  private let report: ProgressReport

  /// Opens the file and verifies it as a whole. A file of another kind is named for what it is.
  init(
    disk: any Disk, path: String, isHashChecked: Bool = true, report: @escaping ProgressReport
  ) throws(OfflineError) {
    let bytes = try Self.identify(path, disk)
    reader = try onSnapshot { () throws(SnapshotError) in
      try SnapshotReader.open(disk: disk, path: path, isHashChecked: isHashChecked) { progress in
        report(OfflineProgress(step: "verify", done: progress.bytes, total: bytes))
      }
    }
    self.path = path
    self.report = report
    for table in reader.header.tables where Table(rawValue: table.id).map({ "\($0)" }) != table.name {
      throw .unknownTable(file: path, table: table.name)
    }
  }

  /// Hands out every row in order. A row whose own checksum does not hold is an error.
  func forEachRow(step: String, _ body: (ExportedRow) throws(OfflineError) -> Void) throws(OfflineError) {
    var rows = 0
    while let row = try onSnapshot({ () throws(SnapshotError) in try reader.nextRow() }) {
      guard let table = Table(rawValue: row.table) else {
        throw .unknownTable(file: path, table: "\(row.table)")
      }
      let exported = ExportedRow(table: table, key: row.key, value: row.value)
      try body(exported)
      rows += 1
      if rows & 0x3ff == 0 { show(step) }
    }
    show(step)
  }

  private func show(_ step: String) {
    report(
      OfflineProgress(
        step: step, done: Int(reader.plainBytesRead), total: Int(clamping: reader.summary.plainBytes)))
  }

  /// Where the second meta page of a bbolt file says what it is.
  private static let bboltMagic: [UInt8] = [0xed, 0xda, 0x0c, 0xed]
  private static let bboltMagicOffset = 16

  /// The size of a regular file that is no database of etcd. A pipe would block whoever opens it.
  private static func identify(_ path: String, _ disk: any Disk) throws(OfflineError) -> Int {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG { throw .notRegularFile(path) }
    let (head, size) = try onDisk { () throws(DiskError) in
      let file = try disk.open(path, .read)
      defer { file.close() }
      var head = [UInt8](repeating: 0, count: bboltMagicOffset + bboltMagic.count)
      let count = try head.withUnsafeMutableBufferPointer { (buffer) throws(DiskError) in
        try file.read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))
      }
      return (head.prefix(count), try file.size())
    }
    if head.count == bboltMagicOffset + bboltMagic.count,
      head[bboltMagicOffset...].elementsEqual(bboltMagic)
    {
      throw .etcdFile(path)
    }
    return size
  }
}
