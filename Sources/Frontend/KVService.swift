import Metrics
import Model
import NIOCore
import Primitives
import Store
import Wire

// The KV service. Reads are made on the event loop where they are short, on the pool where they may be long.

extension LoopFrontend {
  /// Ranges that can return more keys than this are made on the pool.
  static let inlineKeysMax: Int64 = 256

  func range(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: RangeRequest
    do throws(ProtoError) {
      request = try RangeRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if isLearner, !request.serializable { return call.fail(.learnerUnsupported) }
    if let error = request.validate(context.limits) { return call.fail(error) }
    if request.serializable {
      serveRange(call, request)
    } else {
      confirmRead(call, .range(request))
    }
  }

  func serveRange(_ call: RPCCall, _ request: RangeRequest) {
    guard Self.isShort(request) else { return serveLongRange(call, request) }
    do throws(StoreError) {
      let view = try self.view()
      var writer = builder.begin(revision: view.revision, term: term, reserving: 512)
      switch try RangeEvaluator.range(request, in: view, body: &writer) {
      case .success:
        rangeTally.add(isSuccess: true)
        call.respond(writer.bytes)
      case .failure(let error):
        rangeTally.add(isSuccess: false)
        call.fail(error)
      }
    } catch {
      rangeTally.add(isSuccess: false)
      fail(call, error)
    }
  }

  private func serveLongRange(_ call: RPCCall, _ request: RangeRequest) {
    let metrics = context.metrics
    serveLong(call) { (view, builder, term) throws(StoreError) in
      let began = NIODeadline.now()
      var isSuccess = false
      defer {
        metrics.ranges.add()
        (isSuccess ? metrics.succeededRanges : metrics.failedRanges).observeShared(since: began)
      }
      var writer = builder.begin(revision: view.revision, term: term, reserving: 512)
      let outcome = try RangeEvaluator.range(request, in: view, body: &writer)
      if case .success = outcome { isSuccess = true }
      return outcome.map { _ in writer.bytes }
    }
  }

  private static func isShort(_ request: RangeRequest) -> Bool {
    request.rangeEnd.isEmpty
      || (request.limit > 0 && request.limit <= inlineKeysMax && request.isDefaultOrder
        && !request.hasRevisionFilters && !request.countOnly)
  }

  func put(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: PutRequest
    do throws(ProtoError) {
      request = try PutRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if exceedsQuota(call, request.quotaCost) { return }
    if let error = request.validate(context.limits) { return call.fail(error) }
    propose(call, .command, operation: Self.operation(4, message))
  }

  func deleteRange(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: DeleteRangeRequest
    do throws(ProtoError) {
      request = try DeleteRangeRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if let error = request.validate(context.limits) { return call.fail(error) }
    propose(call, .command, operation: Self.operation(5, message))
  }

  func transaction(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: TransactionRequest
    do throws(ProtoError) {
      request = try TransactionRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if exceedsQuota(call, request.quotaCost) { return }
    if let error = request.validate(context.limits) { return call.fail(error) }
    if !request.isReadOnly {
      propose(call, .command, operation: Self.operation(6, message))
    } else if request.isSerializable {
      serveTransaction(call, request)
    } else {
      confirmRead(call, .transaction(request))
    }
  }

  func serveTransaction(_ call: RPCCall, _ request: TransactionRequest) {
    let isShort = (request.success + request.failure).allSatisfy { operation in
      if case .range(let range) = operation { Self.isShort(range) } else { false }
    }
    let metrics = context.metrics
    serve(call, inline: isShort && request.compare.allSatisfy(\.rangeEnd.isEmpty)) {
      (view, builder, term) throws(StoreError) in
      var writer = builder.begin(revision: view.revision, term: term, reserving: 512)
      var ranges: UInt64 = 0
      let outcome = try TransactionEvaluator.readOnly(request, in: view, body: &writer, ranges: &ranges)
      metrics.ranges.add(ranges)
      if ranges > 1 { metrics.transactions.add() }
      return outcome.map { _ in writer.bytes }
    }
  }

  func compact(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: CompactionRequest
    do throws(ProtoError) {
      request = try CompactionRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    propose(
      call, request.physical ? .physicalCompaction(revision: request.revision) : .command,
      operation: Self.operation(7, message))
  }

  /// Answers a call at once from the batch's view, or from the pool.
  func serve(_ call: RPCCall, inline: Bool, _ evaluate: @escaping LongReads.Evaluation) {
    guard inline else { return serveLong(call, evaluate) }
    do throws(StoreError) {
      answer(call, try evaluate(view(), builder, term))
    } catch {
      fail(call, error)
    }
  }

  func answer(_ call: RPCCall, _ outcome: Result<[UInt8], ClientError>) {
    switch outcome {
    case .success(let response): call.respond(response)
    case .failure(let error): call.fail(error)
    }
  }

  /// A request as the operation of a replicated command. The client's bytes are kept as they are: they were decoded
  /// once, and every member decodes them alike.
  static func operation(_ field: Int, _ message: UnsafeRawBufferPointer) -> [UInt8] {
    // Room for the header that the replica appends.
    var writer = ProtoWriter(reserving: message.count + 32)
    writer.message(field, size: message.count)
    writer.raw(message)
    return writer.bytes
  }
}
