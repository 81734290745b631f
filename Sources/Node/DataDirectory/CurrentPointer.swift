import Disk
import Model
import Primitives

/// The file `CURRENT`: which format the directory has and which store is in use.
///
/// Three lines of ASCII, each ended by one line feed:
///
///     cairn-data <format version, decimal>
///     store <generation, 16 hexadecimal digits>
///     crc32c <of the bytes of the two lines above, 8 hexadecimal digits>
///
/// It is replaced as a whole: written beside, synced, renamed, directory synced. Version 1 also fixes the layout of the
/// log's segments, the store's tables and the snapshot files, which carry versions of their own.
struct CurrentPointer: Equatable {
  static let formatVersion: UInt64 = 1
  static let temporaryName = "CURRENT.new"
  static let bytesMax = 4096

  var generation: UInt64

  static func name(_ generation: UInt64) -> String { GoValueSyntax.hexadecimal(generation, width: 16) }

  func encoded() -> [UInt8] {
    let body = "cairn-data \(Self.formatVersion)\nstore \(Self.name(generation))\n"
    return Array((body + Self.checksumLine(body)).utf8)
  }

  /// A version that is not ours is told from damage: the checksum is verified first, and its line keeps its place in
  /// all versions.
  static func decode(_ bytes: [UInt8], path: String) -> Result<CurrentPointer, DataDirectoryError> {
    let text = String(decoding: bytes, as: UTF8.self)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count >= 3, lines[lines.count - 1].isEmpty else { return .failure(.damagedPointer(path)) }
    let checksum = lines[lines.count - 2]
    let body = lines[..<(lines.count - 2)].map { $0 + "\n" }.joined()
    guard "\(checksum)\n" == checksumLine(body) else { return .failure(.damagedPointer(path)) }
    let version = lines[0].split(separator: " ")
    guard version.count == 2, version[0] == "cairn-data", let number = UInt64(version[1]) else {
      return .failure(.damagedPointer(path))
    }
    guard number == formatVersion else {
      return .failure(.unknownFormat(path, found: number, known: formatVersion))
    }
    let store = lines[1].split(separator: " ")
    guard lines.count == 4, store.count == 2, store[0] == "store", store[1].utf8.count == 16,
      let generation = UInt64(store[1], radix: 16)
    else { return .failure(.damagedPointer(path)) }
    return .success(CurrentPointer(generation: generation))
  }

  /// Durable when it returns.
  func write(to member: String, disk: any Disk) throws(DiskError) {
    try prepare(in: member, disk: disk)
    try Self.replace(in: member, disk: disk)
  }

  /// Writes and syncs the new pointer beside the one in use.
  func prepare(in member: String, disk: any Disk) throws(DiskError) {
    let temporary = "\(member)/\(Self.temporaryName)"
    if try disk.exists(temporary) { try disk.remove(temporary) }
    let file = try disk.open(temporary, .create)
    defer { file.close() }
    try file.write(encoded(), at: 0)
    try file.syncData()
  }

  /// Puts what was prepared in the place of the pointer in use.
  static func replace(in member: String, disk: any Disk) throws(DiskError) {
    try disk.rename("\(member)/\(temporaryName)", to: "\(member)/CURRENT")
    try disk.syncDirectory(member)
  }

  private static func checksumLine(_ body: String) -> String {
    let checksum = CRC32C.checksum(Array(body.utf8))
    return "crc32c \(GoValueSyntax.hexadecimal(UInt64(checksum), width: 8))\n"
  }
}
