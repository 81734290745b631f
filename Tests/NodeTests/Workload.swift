import Model
import Primitives

/// What a simulated client asks for.
enum ClientRequest {
  case write(RaftCommand.Operation)
  case read(RangeRequest, isLinearizable: Bool)
}

/// Random requests over few keys, so that they meet.
struct Workload {
  var keys: Int
  var valueBytesMax: Int
  /// The highest revision a client has seen; compactions aim below it.
  var knownRevision: Int64 = 1

  func next(_ random: inout SeededRandom) -> ClientRequest {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<50: return .write(.put(put(&random)))
    case 50..<60: return .write(.deleteRange(delete(&random)))
    case 60..<70: return .write(.transaction(transaction(&random)))
    case 70..<73:
      let back = Int64.random(in: -2...20, using: &random)
      return .write(.compaction(CompactionRequest(revision: knownRevision - back)))
    case 73..<90: return .read(range(&random), isLinearizable: true)
    default: return .read(range(&random), isLinearizable: false)
    }
  }

  private func key(_ random: inout SeededRandom) -> [UInt8] {
    let number = Int.random(in: 0..<keys, using: &random)
    // Some beyond LMDB's limit of 511 bytes, so that they share a first part.
    let prefix = number % 7 == 0 ? [UInt8](repeating: UInt8(ascii: "k"), count: 600) : Array("key".utf8)
    return prefix + Array("\(100 + number)".utf8)
  }

  private func put(_ random: inout SeededRandom) -> PutRequest {
    let count = random.chance(1, in: 8) ? valueBytesMax : Int.random(in: 0...64, using: &random)
    var request = PutRequest(key: key(&random), value: (0..<count).map { UInt8(truncatingIfNeeded: $0) })
    if count > 0 { request.value[0] = UInt8.random(in: 0...255, using: &random) }
    request.previousKeyValue = random.chance(1, in: 4)
    return request
  }

  private func delete(_ random: inout SeededRandom) -> DeleteRangeRequest {
    var request = DeleteRangeRequest(key: key(&random))
    if random.chance(1, in: 4) { request.rangeEnd = key(&random) }
    request.previousKeyValue = random.chance(1, in: 4)
    return request
  }

  /// Keys in one branch differ, or the request would be refused before it is proposed.
  private func transaction(_ random: inout SeededRandom) -> TransactionRequest {
    var request = TransactionRequest()
    var compare = Compare()
    compare.key = key(&random)
    compare.operand = .version(Int64.random(in: 0...2, using: &random))
    request.compare = [compare]
    request.success = [.put(put(&random))]
    request.failure = [.deleteRange(DeleteRangeRequest(key: key(&random)))]
    var second = put(&random)
    second.key.append(UInt8(ascii: "+"))
    request.success.append(.put(second))
    return request
  }

  private func range(_ random: inout SeededRandom) -> RangeRequest {
    random.chance(1, in: 4)
      ? RangeRequest(key: [0], rangeEnd: [0xff]) : RangeRequest(key: key(&random))
  }
}
