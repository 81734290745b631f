internal import LMDB
internal import Model

/// What LMDB holds as of its last commit: the payload of `meta` row `state`.
/// ```
///  0            8              16     24         32          40         48              56
///  | generation | applied index | term | revision | scheduled | finished | progress main | progress sub |
///  64              72             80          88
///  | set-hash high | set-hash low | next node |
/// ```
/// Integers of 64 bits. `scheduled` and `finished` are compactions, -1 before the first; `progress` is the
/// revision at which an unfinished compaction goes on; `next node` numbers the next node of `long`.
struct DiskState {
  static let key: [UInt8] = Array("state".utf8)
  static let payloadBytes = 88

  var generation: UInt64 = 0
  var appliedIndex: UInt64 = 0
  var term: UInt64 = 0
  var revision: Int64 = 1
  var scheduled: Int64 = -1
  var finished: Int64 = -1
  var progress = Revision(main: 0, sub: 0)
  var setHash = SetHash()
  var nextNode: UInt64 = 1

  init() {}

  init?(payload: UnsafeRawBufferPointer) {
    guard payload.count == Self.payloadBytes else { return nil }
    generation = payload.word64(0)
    appliedIndex = payload.word64(8)
    term = payload.word64(16)
    revision = payload.signed64(24)
    scheduled = payload.signed64(32)
    finished = payload.signed64(40)
    progress = Revision(main: payload.signed64(48), sub: payload.signed64(56))
    setHash = SetHash(high: payload.word64(64), low: payload.word64(72))
    nextNode = payload.word64(80)
  }

  var payload: [UInt8] {
    let words: [UInt64] = [
      generation, appliedIndex, term, UInt64(bitPattern: revision), UInt64(bitPattern: scheduled),
      UInt64(bitPattern: finished), UInt64(bitPattern: progress.main), UInt64(bitPattern: progress.sub),
      setHash.high, setHash.low, nextNode,
    ]
    return words.flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
  }

  /// A compaction above the last one was accepted; its rows are still to be deleted.
  mutating func schedule(_ compactRevision: Int64) {
    // What stays of the last compaction's own revision (see `Committer.compact`) is for the next one.
    if progress.main >= scheduled { progress = Revision(main: max(scheduled, 0), sub: 0) }
    scheduled = compactRevision
  }

  /// Nil while a compaction is under way: what is deleted already differs between members.
  var digest: StateDigest? {
    guard scheduled == finished else { return nil }
    return StateDigest(index: appliedIndex, revision: revision, compactRevision: scheduled, hash: setHash)
  }

  var boundary: Boundary {
    Boundary(appliedIndex: appliedIndex, term: term, revision: revision, compactRevision: scheduled)
  }

  static func read(_ transaction: borrowing ReadTransaction, _ tables: TableHandles, path: String)
    throws(StoreError) -> DiskState?
  {
    guard let payload = try readPlain(transaction, tables, .meta, key, path: path) else { return nil }
    guard let state = DiskState(payload: payload) else {
      throw StoreError.corrupt(file: path, table: .meta, key: key, reason: "form of the state row")
    }
    return state
  }
}

/// Whose file it is and of which format: the payload of `meta` row `identity`.
/// ```
///  0                    4     8            16          24
///  | format version u32 | 0 0 | cluster id | member id |
/// ```
struct DiskIdentity {
  static let key: [UInt8] = Array("identity".utf8)
  /// Raised when the meaning of any row changes. Version 1: tables rev, key, long, lease, leasekey, auth,
  /// user, role, member, alarm, meta as drawn in RowFormat.
  static let formatVersion: UInt32 = 1

  static func payload(_ identity: StoreIdentity) -> [UInt8] {
    let words: [UInt64] = [UInt64(formatVersion) << 32, identity.clusterID, identity.memberID]
    return words.flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
  }

  static func read(_ transaction: borrowing ReadTransaction, _ tables: TableHandles, path: String)
    throws(StoreError) -> StoreIdentity?
  {
    guard let payload = try readPlain(transaction, tables, .meta, key, path: path) else { return nil }
    guard payload.count >= 4 else {
      throw StoreError.corrupt(file: path, table: .meta, key: key, reason: "form of the identity row")
    }
    guard payload.word32(0) == formatVersion else {
      throw StoreError.unknownFormat(file: path, version: payload.word32(0))
    }
    guard payload.count == 24 else {
      throw StoreError.corrupt(file: path, table: .meta, key: key, reason: "form of the identity row")
    }
    return StoreIdentity(clusterID: payload.word64(8), memberID: payload.word64(16))
  }
}

/// The payload of a row of one of the plain tables, as LMDB has it.
func readPlain(
  _ transaction: borrowing ReadTransaction, _ tables: TableHandles, _ table: Table, _ key: [UInt8],
  path: String
) throws(StoreError) -> UnsafeRawBufferPointer? {
  try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(StoreError) in
    let value: UnsafeRawBufferPointer?
    do throws(LMDBError) { value = try transaction.get(tables[table], bytes) } catch {
      throw StoreError(error)
    }
    guard let value else { return nil }
    guard let payload = TableValue.payload(table, key: bytes, value: value) else {
      throw StoreError.corrupt(file: path, table: table, key: key, reason: "checksum")
    }
    return payload
  }
}
