internal import CZlib
internal import Glibc

/// The log files that were set aside: removes what is too old or too many, and compresses the rest.
///
/// Does what it can: a file that cannot be removed or compressed stays as it is.
struct OldLogFiles {
  let path: String
  let rotation: LogRotation

  func tidy(now: LogTimestamp) {
    let folder = RotatingFile.folder(path)
    let names = RotatedName(of: RotatingFile.lastPart(path))
    let present = Self.list(folder.isEmpty ? "." : folder).compactMap { name in
      names.mark(in: name).map { (mark: $0, name: name) }
    }
    // A file and its compressed form count once.
    var kept: Set<String> = []
    let oldest = oldestMark(now)
    for (mark, name) in present.sorted(by: { $0.mark > $1.mark }) {
      let isTooMany = rotation.backupsMax > 0 && !kept.contains(mark) && kept.count >= rotation.backupsMax
      if isTooMany || mark < oldest {
        unlink(folder + name)
        continue
      }
      kept.insert(mark)
      if rotation.compresses, !name.hasSuffix(RotatedName.compressedSuffix) {
        Self.compress(folder + name)
      }
    }
  }

  /// Everything before it is removed.
  private func oldestMark(_ now: LogTimestamp) -> String {
    guard rotation.ageDaysMax > 0 else { return "" }
    let age = Int64(clamping: rotation.ageDaysMax).multipliedReportingOverflow(by: 86_400_000)
    guard !age.overflow, age.partialValue < now.milliseconds else { return "" }
    let oldest = LogTimestamp(milliseconds: now.milliseconds - age.partialValue)
    return RotatedName.mark(rotation.usesLocalTime ? oldest.inLocalTime : oldest)
  }

  private static func list(_ folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      names.append(
        withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
          String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        })
    }
    return names
  }

  /// Writes `path.gz` and removes `path` when that is complete.
  static func compress(_ path: String) {
    let source = open(path, O_RDONLY | O_CLOEXEC)
    guard source >= 0 else { return }
    defer { close(source) }
    let target = path + RotatedName.compressedSuffix
    let descriptor = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    // The stream owns the descriptor from here on.
    guard let stream = gzdopen(descriptor, "wb") else {
      close(descriptor)
      return
    }
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    var isComplete = false
    while true {
      let count = read(source, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      isComplete = count == 0
      guard count > 0, gzwrite(stream, chunk, UInt32(count)) == Int32(count) else { break }
    }
    let isClosed = gzclose(stream) == Z_OK
    unlink(isComplete && isClosed ? path : target)
  }
}
