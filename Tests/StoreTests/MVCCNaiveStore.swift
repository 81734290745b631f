import Model

/// What the store has to be equal to: the whole history in plain arrays and a copy of the whole state for each
/// revision. Written from etcd's documented behaviour, sharing nothing with the store but the request types; even
/// the response bytes come from an encoder of its own.
struct NaiveStore {
  struct Row {
    var main: Int64
    var sub: Int64
    var keyValue: KeyValue
    var isTombstone: Bool
  }
  typealias Answer = (revision: Int64, outcome: Result<[UInt8], ClientError>)

  private(set) var rows: [Row] = []
  private(set) var revision: Int64 = 1
  private(set) var compactRevision: Int64 = -1
  /// The live key-values, ascending by key, after each revision. Index 0 and 1 are the empty store.
  private(set) var states: [[KeyValue]] = [[], []]
  /// Granted leases with their times in seconds. What a lease holds is told by the key-values themselves.
  private(set) var leases: [Int64: Int64] = [:]

  // Inside a command: the state so far, and the rows it adds.
  private var working: [KeyValue] = []
  private var added: [Row] = []

  private var begin: Int64 { revision }
  private var current: Int64 { added.isEmpty ? revision : revision + 1 }

  mutating func apply(_ operation: RaftCommand.Operation) -> Answer {
    working = states[Int(revision)]
    added = []
    let outcome = execute(operation)
    let header = current
    if !added.isEmpty {
      rows += added
      revision += 1
      states.append(working)
      added = []
    }
    return (header, outcome)
  }

  private mutating func execute(_ operation: RaftCommand.Operation) -> Result<[UInt8], ClientError> {
    switch operation {
    case .range(let request): return range(request)
    case .put(let request):
      if let error = putError(request, inTransaction: false) { return .failure(error) }
      return .success(put(request))
    case .deleteRange(let request): return .success(delete(request))
    case .transaction(let request): return transaction(request)
    case .compaction(let request):
      if request.revision <= compactRevision { return .failure(.compacted) }
      if request.revision > revision { return .failure(.futureRevision) }
      compactRevision = request.revision
      dropCompactedRows()
      return .success([])
    case .leaseGrant(let grant):
      if grant.id == 0 { return .failure(.leaseNotFound) }
      if grant.ttl > 9_000_000_000 { return .failure(.leaseTTLTooLarge) }
      if leases[grant.id] != nil { return .failure(.leaseExists) }
      leases[grant.id] = grant.ttl
      return .success(field(2, grant.id) + field(3, grant.ttl))
    case .leaseRevoke(let id):
      if leases.removeValue(forKey: id) == nil { return .failure(.leaseNotFound) }
      for key in Self.keys(of: id, in: working) { _ = delete(DeleteRangeRequest(key: key)) }
      return .success([])
    case .leaseCheckpoint(let checkpoints):
      return checkpoints.allSatisfy { leases[$0.id] != nil } ? .success([]) : .failure(.leaseNotFound)
    default: return .failure(ClientError(.unknown, "etcdserver: unknown method"))
    }
  }

  // MARK: Reads

  func keys(ofLease id: Int64) -> [[UInt8]] { Self.keys(of: id, in: states[Int(revision)]) }

  private static func keys(of lease: Int64, in state: [KeyValue]) -> [[UInt8]] {
    state.filter { $0.lease == lease && lease != 0 }.map(\.key)
  }

  /// A range on the current state, outside of any command.
  func read(_ request: RangeRequest) -> Answer {
    var copy = self
    copy.working = states[Int(revision)]
    return (revision, copy.range(request))
  }

  func read(_ request: TransactionRequest) -> Answer {
    var copy = self
    copy.working = states[Int(revision)]
    return (revision, copy.transaction(request))
  }

  private func state(at requested: Int64) -> Result<[KeyValue], ClientError> {
    if requested > current { return .failure(.futureRevision) }
    let at = requested <= 0 ? current : requested
    if at < compactRevision { return .failure(.compacted) }
    return .success(at == current ? working : states[Int(at)])
  }

  private func range(_ request: RangeRequest) -> Result<[UInt8], ClientError> {
    let all: [KeyValue]
    switch state(at: request.revision) {
    case .failure(let error): return .failure(error)
    case .success(let state):
      all = state.filter { Self.isIn(key: request.key, end: request.rangeEnd, $0.key) }
    }
    if request.countOnly { return .success(rangeBody([], more: false, count: all.count)) }
    let hasFilters = [
      request.minModRevision, request.maxModRevision, request.minCreateRevision, request.maxCreateRevision,
    ].contains { $0 != 0 }
    var kvs = all
    // etcd pushes the limit, and one more, down to the index for the orders it calls default.
    let pushesLimit = request.sortOrder == 0 || (request.sortOrder == 1 && request.sortTarget == 0)
    if pushesLimit, !hasFilters, request.limit > 0, request.limit < Int64(kvs.count) {
      kvs = Array(kvs.prefix(Int(request.limit) + 1))
    }
    kvs = kvs.filter { kv in
      (request.maxModRevision == 0 || kv.modRevision <= request.maxModRevision)
        && (request.minModRevision == 0 || kv.modRevision >= request.minModRevision)
        && (request.maxCreateRevision == 0 || kv.createRevision <= request.maxCreateRevision)
        && (request.minCreateRevision == 0 || kv.createRevision >= request.minCreateRevision)
    }
    kvs = Self.sorted(kvs, target: request.sortTarget, descending: request.sortOrder == 2)
    let more = request.limit > 0 && Int64(kvs.count) > request.limit
    if more { kvs = Array(kvs.prefix(Int(request.limit))) }
    if request.keysOnly {
      for index in kvs.indices {
        kvs[index].value = []
        if request.sortTarget != 4 { kvs[index].lease = 0 }
      }
    }
    return .success(rangeBody(kvs, more: more, count: all.count))
  }

  private static func sorted(_ kvs: [KeyValue], target: Int32, descending: Bool) -> [KeyValue] {
    func before(_ a: KeyValue, _ b: KeyValue) -> Bool {
      switch target {
      case 1: a.version < b.version
      case 2: a.createRevision < b.createRevision
      case 3: a.modRevision < b.modRevision
      case 4: a.value.lexicographicallyPrecedes(b.value)
      default: a.key.lexicographicallyPrecedes(b.key)
      }
    }
    // Insertion sort: plainly stable.
    var result: [KeyValue] = []
    for kv in kvs {
      var at = result.count
      while at > 0, descending ? before(result[at - 1], kv) : before(kv, result[at - 1]) { at -= 1 }
      result.insert(kv, at: at)
    }
    return result
  }

  static func isIn(key: [UInt8], end: [UInt8], _ candidate: [UInt8]) -> Bool {
    if end.isEmpty { return candidate == key }
    if candidate.lexicographicallyPrecedes(key) { return false }
    return end == [0] || candidate.lexicographicallyPrecedes(end)
  }

  // MARK: Writes

  private func putError(_ request: PutRequest, inTransaction: Bool) -> ClientError? {
    if request.key.isEmpty { return .keyNotProvided }
    // A put on its own names an unknown lease first, one in a transaction last.
    let leaseError: ClientError? = request.lease != 0 && leases[request.lease] == nil ? .leaseNotFound : nil
    if let leaseError, !inTransaction { return leaseError }
    if request.ignoreValue || request.ignoreLease, !working.contains(where: { $0.key == request.key }) {
      return .keyNotFound
    }
    return leaseError
  }

  private mutating func put(_ request: PutRequest) -> [UInt8] {
    let index = working.firstIndex { $0.key == request.key }
    let previous = index.map { working[$0] }
    var kv = KeyValue(
      key: request.key, createRevision: previous?.createRevision ?? revision + 1, modRevision: revision + 1,
      version: (previous?.version ?? 0) + 1, value: request.value, lease: request.lease)
    if request.ignoreValue { kv.value = previous?.value ?? [] }
    if request.ignoreLease { kv.lease = previous?.lease ?? 0 }
    if let index {
      working[index] = kv
    } else {
      let at = working.firstIndex { request.key.lexicographicallyPrecedes($0.key) } ?? working.count
      working.insert(kv, at: at)
    }
    added.append(Row(main: revision + 1, sub: Int64(added.count), keyValue: kv, isTombstone: false))
    return request.previousKeyValue ? previous.map { field(2, encode($0)) } ?? [] : []
  }

  private mutating func delete(_ request: DeleteRangeRequest) -> [UInt8] {
    let deleted = working.filter { Self.isIn(key: request.key, end: request.rangeEnd, $0.key) }
    for kv in deleted {
      working.removeAll { $0.key == kv.key }
      added.append(
        Row(
          main: revision + 1, sub: Int64(added.count), keyValue: KeyValue(key: kv.key), isTombstone: true))
    }
    var body = field(2, Int64(deleted.count))
    if request.previousKeyValue { for kv in deleted { body += field(3, encode(kv)) } }
    return body
  }

  // MARK: Transactions

  private mutating func transaction(_ request: TransactionRequest) -> Result<[UInt8], ClientError> {
    let before = working
    if let error = check(request, before) { return .failure(error) }
    return .success(run(request, before))
  }

  private func holds(_ compare: Compare, _ state: [KeyValue]) -> Bool {
    let matching = state.filter { Self.isIn(key: compare.key, end: compare.rangeEnd, $0.key) }
    if matching.isEmpty && compare.target == 3 { return false }
    return (matching.isEmpty ? [KeyValue()] : matching).allSatisfy { kv in
      func number(_ stored: Int64, _ given: Int64) -> Bool {
        [stored == given, stored > given, stored < given, stored != given, true][
          (0...3).contains(compare.result) ? Int(compare.result) : 4]
      }
      switch compare.target {
      case 0:
        if case .version(let value) = compare.operand { return number(kv.version, value) }
        return number(kv.version, 0)
      case 1:
        if case .createRevision(let value) = compare.operand { return number(kv.createRevision, value) }
        return number(kv.createRevision, 0)
      case 2:
        if case .modRevision(let value) = compare.operand { return number(kv.modRevision, value) }
        return number(kv.modRevision, 0)
      case 3:
        var given: [UInt8] = []
        if case .value(let value) = compare.operand { given = value }
        let order: Int64 =
          kv.value == given ? 0 : kv.value.lexicographicallyPrecedes(given) ? -1 : 1
        return number(order, 0)
      case 4:
        if case .lease(let value) = compare.operand { return number(kv.lease, value) }
        return number(kv.lease, 0)
      default: return number(0, 0)
      }
    }
  }

  private func chosen(_ request: TransactionRequest, _ state: [KeyValue]) -> (Bool, [RequestOperation]) {
    let taken = request.compare.allSatisfy { holds($0, state) }
    return (taken, taken ? request.success : request.failure)
  }

  private func check(_ request: TransactionRequest, _ state: [KeyValue]) -> ClientError? {
    for operation in chosen(request, state).1 {
      switch operation {
      case .none, .deleteRange: continue
      case .range(let range):
        if range.revision == 0 { continue }
        if range.revision > revision { return .futureRevision }
        if range.revision < compactRevision { return .compacted }
      case .put(let put): if let error = putError(put, inTransaction: true) { return error }
      case .transaction(let nested): if let error = check(nested, state) { return error }
      }
    }
    return nil
  }

  private mutating func run(_ request: TransactionRequest, _ before: [KeyValue]) -> [UInt8] {
    let (taken, operations) = chosen(request, before)
    var body: [UInt8] = taken ? field(2, 1) : []
    for operation in operations {
      switch operation {
      case .none: body += field(3, [UInt8]())
      case .range(let range):
        let header = current
        guard case .success(let response) = self.range(range) else { return [0xff] }
        body += operationResponse(1, header, response)
      case .put(let put):
        let response = self.put(put)
        body += operationResponse(2, current, response)
      case .deleteRange(let delete):
        let response = self.delete(delete)
        body += operationResponse(3, current, response)
      case .transaction(let nested):
        let response = run(nested, before)
        body += operationResponse(4, 0, response)
      }
    }
    return body
  }

  private func operationResponse(_ kind: Int, _ revision: Int64, _ body: [UInt8]) -> [UInt8] {
    field(3, field(kind, field(1, field(3, revision)) + body))
  }

  // MARK: Compaction and hashes

  /// For each key the newest row up to the compaction stays, unless it is a tombstone below it.
  private mutating func dropCompactedRows() {
    let newest = newestRows(at: compactRevision)
    rows = rows.enumerated().filter { index, row in
      row.main > compactRevision
        || (newest.contains(index) && (!row.isTombstone || row.main == compactRevision))
    }.map(\.element)
  }

  private func newestRows(at revision: Int64) -> Set<Int> {
    var newest: [[UInt8]: Int] = [:]
    for (index, row) in rows.enumerated() where row.main <= revision { newest[row.keyValue.key] = index }
    return Set(newest.values)
  }

  func hashKeyValue(_ requested: Int64) -> Result<UInt32, ClientError> {
    if requested > 0 && requested < compactRevision { return .failure(.compacted) }
    if requested > revision { return .failure(.futureRevision) }
    let at = requested == 0 ? revision : requested
    let keep = newestRows(at: at).filter { !rows[$0].isTombstone }
    var bytes = Array("key".utf8)
    for (index, row) in rows.enumerated() where row.main <= at {
      if row.main <= compactRevision && !keep.isEmpty && !keep.contains(index) { continue }
      if row.main == compactRevision && row.isTombstone { continue }
      bytes += bigEndian(row.main) + [0x5f] + bigEndian(row.sub) + (row.isTombstone ? [0x74] : [])
      bytes += encode(row.keyValue)
    }
    return .success(naiveCRC32C(bytes))
  }
}

// MARK: A plain encoder

func varint(_ value: UInt64) -> [UInt8] {
  value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + varint(value >> 7)
}

func field(_ number: Int, _ value: Int64) -> [UInt8] {
  value == 0 ? [] : varint(UInt64(number << 3)) + varint(UInt64(bitPattern: value))
}

func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
  varint(UInt64(number << 3 | 2)) + varint(UInt64(content.count)) + content
}

func encode(_ kv: KeyValue) -> [UInt8] {
  (kv.key.isEmpty ? [] : field(1, kv.key)) + field(2, kv.createRevision) + field(3, kv.modRevision)
    + field(4, kv.version) + (kv.value.isEmpty ? [] : field(5, kv.value)) + field(6, kv.lease)
}

func rangeBody(_ kvs: [KeyValue], more: Bool, count: Int) -> [UInt8] {
  kvs.flatMap { field(2, encode($0)) } + field(3, more ? 1 : 0) + field(4, Int64(count))
}

func bigEndian(_ value: Int64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
}

/// CRC-32C from its polynomial, byte by byte through a table made here.
func naiveCRC32C(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(UInt32.max) { crc, byte in
    crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8)
  }
}

private let crcTable: [UInt32] = (0..<256).map { start in
  (0..<8).reduce(UInt32(start)) { crc, _ in (crc & 1) * 0x82f6_3b78 ^ (crc >> 1) }
}
