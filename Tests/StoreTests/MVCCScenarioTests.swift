import Foundation
import Model
import Primitives
import Store
import Testing

/// Runs the files of Scenarios/: blocks of commands, a line `----` and the lines they answer with. Set
/// CAIRN_REWRITE_SCENARIOS to write what is found into the files; commit only changes that you can explain.
@Suite("MVCC scenarios")
struct MVCCScenarioTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Scenarios")

  static let names: [String] =
    (try? FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".txt") }
      .sorted())
    ?? []

  @Test("There are scenarios")
  func thereAreFiles() { #expect(Self.names.count >= 5) }

  @Test("Scenario", arguments: names)
  func scenario(_ name: String) throws {
    let file = Self.folder.appendingPathComponent(name)
    let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
    var runner = try ScenarioRunner()
    var rewritten: [String] = []
    var position = 0
    while position < lines.count {
      if lines[position].isEmpty || lines[position].hasPrefix("#") {
        rewritten.append(lines[position])
        position += 1
        continue
      }
      let start = position
      let commands = lines[position...].prefix { $0 != "----" }
      let expected = lines[commands.endIndex...].dropFirst().prefix { !$0.isEmpty }
      let found = try commands.flatMap { try runner.run(ScenarioParser.parse($0)) }
      #expect(found == Array(expected), "\(name):\(start + 1)")
      rewritten += commands + ["----"] + found
      position = expected.endIndex
    }
    if ProcessInfo.processInfo.environment["CAIRN_REWRITE_SCENARIOS"] != nil {
      try rewritten.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
    }
  }
}

private struct ScenarioRunner {
  private let harness: MVCCHarness
  private let limits = RequestLimits()
  private var stream: RangeStream?

  init() throws { harness = try MVCCHarness() }

  mutating func run(_ call: ScenarioCall) throws -> [String] {
    switch call.name {
    case "put":
      let request = put(call)
      return try answer(request.validate(limits), .put(request), ScenarioResponse.lines(put:))
    case "delete":
      let request = delete(call)
      return try answer(
        request.validate(limits), .deleteRange(request), ScenarioResponse.lines(deleteRange:))
    case "txn":
      let request = transaction(call)
      if request.isReadOnly && !call.has("log") {
        if let error = request.validate(limits) { return lines(error) }
        return try lines(
          MVCCHarness.readOnly(request, in: harness.view()), ScenarioResponse.lines(transaction:))
      }
      return try answer(
        call.has("unchecked") ? nil : request.validate(limits), .transaction(request),
        ScenarioResponse.lines(transaction:))
    case "range":
      let request = range(call)
      if let error = request.validate(limits) { return lines(error) }
      return try lines(MVCCHarness.range(request, in: harness.view()), ScenarioResponse.lines(range:))
    case "compact":
      return try answer(nil, .compaction(CompactionRequest(revision: call.number(0)))) { _ in [] }
    case "hashkv": return try hash(call)
    case "hash":
      return [String(try MVCCHarness.finish(.startOfWhole(in: harness.view()), rows: 3), radix: 16)]
    case "stream", "chunk": return try chunk(call)
    case "unsupported":
      return try answer(nil, .unsupported(field: Int(call.number(0)))) { _ in [] }
    default: return try manage(call)
    }
  }

  // MARK: The store around the commands

  private mutating func manage(_ call: ScenarioCall) throws -> [String] {
    switch call.name {
    case "freeze": return try harness.freeze() ? [] : ["refused"]
    case "commit":
      try harness.commitEverything()
      return []
    case "reopen":
      stream = nil
      let replayed = try harness.reopen()
      return ["replayed \(replayed.count)", "revision \(try harness.view().revision)"]
    case "member":
      let record = MemberRecord(
        id: UInt64(call.number(0)),
        peerURLs: call.texts.dropFirst().map { String(decoding: $0, as: UTF8.self) },
        isLearner: call.has("learner"))
      try harness.applier.putMember(record)
      return []
    case "attributes":
      let attributes = MemberAttributes(
        memberID: UInt64(call.number(0)), name: String(decoding: call.text(1), as: UTF8.self),
        clientURLs: call.texts.dropFirst(2).map { String(decoding: $0, as: UTF8.self) })
      return try answer(nil, .clusterMemberAttributesSet(attributes)) { _ in [] }
    case "version":
      let version = String(decoding: call.text(0), as: UTF8.self)
      return try answer(nil, .clusterVersionSet(version)) { _ in [] }
    case "cluster":
      let view = try harness.view()
      return try ["version \(view.clusterVersion() ?? "unset")"]
        + view.members().map {
          "\($0.id) '\($0.name)' peers \($0.peerURLs) clients \($0.clientURLs)"
            + ($0.isLearner ? " learner" : "")
        }
    default:
      Issue.record("unknown command \(call.name)")
      return []
    }
  }

  private mutating func chunk(_ call: ScenarioCall) throws -> [String] {
    if call.name == "stream" {
      let request = range(call)
      if let error = request.validateForStream(limits) { return lines(error) }
      stream = RangeStream(request, targetBytes: Int(call.number("target") ?? 1_572_864))
    }
    var body = ProtoWriter()
    switch try stream?.next(in: harness.view(), body: &body) {
    case nil: return ["no stream"]
    case .failure(let error):
      stream = nil
      return lines(error)
    case .chunk:
      let keys = try ScenarioResponse.lines(range: body.bytes).dropLast()
      return ["chunk of \(keys.count)", "first \(keys.first ?? "")"]
    case .last(let revision):
      stream = nil
      return ["last, revision \(revision)"] + (try ScenarioResponse.lines(range: body.bytes))
    }
  }

  private func hash(_ call: ScenarioCall) throws -> [String] {
    let view = try harness.view()
    switch try KeyValueHash.start(call.number(0), in: view) {
    case .failure(let error): return lines(error)
    case .success(let hash):
      let value = try MVCCHarness.finish(hash, rows: 2)
      return [
        "hash \(value) revision \(hash.hashRevision) compacted \(hash.compactRevision) header \(hash.headerRevision)"
      ]
    }
  }

  // MARK: Answers

  private func answer(
    _ error: ClientError?, _ operation: RaftCommand.Operation, _ body: ([UInt8]) throws -> [String]
  ) throws -> [String] {
    if let error { return lines(error) }
    let result = try harness.apply(operation)
    try harness.publish()
    return try lines(result, body)
  }

  private func lines(_ error: ClientError) -> [String] { ["error \(error.code): \(error.message)"] }

  private func lines(_ result: ApplyResult, _ body: ([UInt8]) throws -> [String]) throws -> [String] {
    switch result.outcome {
    case .failure(let error): lines(error)
    case .success(let bytes): ["revision \(result.headerRevision)"] + (try body(bytes))
    }
  }

  // MARK: Requests

  private func range(_ call: ScenarioCall) -> RangeRequest {
    var request = RangeRequest(key: call.text(0), rangeEnd: call.text(1))
    request.limit = call.number("limit") ?? 0
    request.revision = call.number("revision") ?? 0
    request.keysOnly = call.has("keys_only")
    request.countOnly = call.has("count_only")
    request.serializable = call.has("serializable")
    request.minModRevision = call.number("min_mod") ?? 0
    request.maxModRevision = call.number("max_mod") ?? 0
    request.minCreateRevision = call.number("min_create") ?? 0
    request.maxCreateRevision = call.number("max_create") ?? 0
    request.sortOrder = Int32(call.number("order") ?? 0)
    request.sortTarget = Int32(call.number("target_field") ?? 0)
    if let order = call.option("sort") {
      request.sortOrder = [Array("ascend".utf8): 1, Array("descend".utf8): 2][order] ?? 0
    }
    if let target = call.option("by") {
      let names = ["key", "version", "create", "mod", "value"].map { Array($0.utf8) }
      request.sortTarget = names.firstIndex(of: target).map { Int32($0) } ?? 0
    }
    return request
  }

  private func put(_ call: ScenarioCall) -> PutRequest {
    var request = PutRequest(key: call.text(0), value: call.text(1))
    request.previousKeyValue = call.has("prev")
    request.ignoreValue = call.has("ignore_value")
    request.ignoreLease = call.has("ignore_lease")
    request.lease = call.number("lease") ?? 0
    return request
  }

  private func delete(_ call: ScenarioCall) -> DeleteRangeRequest {
    var request = DeleteRangeRequest(key: call.text(0), rangeEnd: call.text(1))
    request.previousKeyValue = call.has("prev")
    return request
  }

  private func transaction(_ call: ScenarioCall) -> TransactionRequest {
    var request = TransactionRequest()
    for part in call.calls {
      switch part.name {
      case "if": request.compare += part.calls.map(compare)
      case "then": request.success += part.calls.map(operation)
      case "else": request.failure += part.calls.map(operation)
      default: Issue.record("unknown part \(part.name)")
      }
    }
    return request
  }

  private func operation(_ call: ScenarioCall) -> RequestOperation {
    switch call.name {
    case "range": return .range(range(call))
    case "put": return .put(put(call))
    case "delete": return .deleteRange(delete(call))
    case "txn": return .transaction(transaction(call))
    case "none": return .none
    default:
      Issue.record("unknown operation \(call.name)")
      return .none
    }
  }

  /// `eq(version, key, 1, end=z)`; without an operand the union is missing.
  private func compare(_ call: ScenarioCall) -> Compare {
    var compare = Compare()
    compare.result = ["eq": 0, "gt": 1, "lt": 2, "ne": 3][call.name] ?? 9
    compare.key = call.text(1)
    compare.rangeEnd = call.option("end") ?? []
    let target = String(decoding: call.text(0), as: UTF8.self)
    compare.target = ["version": 0, "create": 1, "mod": 2, "value": 3, "lease": 4][target] ?? 9
    if call.texts.count > 2 {
      compare.operand =
        switch target {
        case "version": .version(call.number(2))
        case "create": .createRevision(call.number(2))
        case "mod": .modRevision(call.number(2))
        case "lease": .lease(call.number(2))
        default: .value(call.text(2))
        }
    }
    return compare
  }
}
