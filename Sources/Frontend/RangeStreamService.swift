import Model
import Primitives
import Store
import Wire

extension LoopFrontend {
  func rangeStream(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    let request: RangeRequest
    do throws(ProtoError) {
      request = try RangeRequest(decoding: message)
    } catch {
      return refuseMalformed(call, error)
    }
    if let error = request.validateForStream(context.limits) { return call.fail(error) }
    if request.serializable {
      serveRangeStream(call, request)
    } else {
      confirmRead(call, .rangeStream(request))
    }
  }

  func serveRangeStream(_ call: RPCCall, _ request: RangeRequest) {
    let (context, builder, term) = (self.context, self.builder, self.term)
    var cursor = RangeStream(request, targetBytes: context.limits.maxRequestBytes)
    let pump = StreamPump(call: call, context: context) {
      do throws(StoreError) {
        let view = try context.store.view()
        defer { view.end() }
        var body = ProtoWriter()
        switch try cursor.next(in: view, body: &body) {
        case .chunk: return .message(Self.chunk(body, header: ProtoWriter(), builder))
        case .last(let revision):
          var header = ProtoWriter()
          builder.appendHeader(revision: revision, term: term, to: &header)
          return .last(Self.chunk(body, header: header, builder))
        case .failure(let error): return .failure(error)
        }
      } catch {
        context.report(error)
        return .failure(context.clientError(error))
      }
    }
    pump.start()
  }

  /// A chunk as RangeStreamResponse{range_response}; only the last one carries a header.
  private static func chunk(_ body: ProtoWriter, header: ProtoWriter, _ builder: ResponseBuilder) -> [UInt8] {
    var writer = builder.headless(reserving: header.count + body.count + 8)
    writer.message(1, size: header.count + body.count)
    writer.raw(header.bytes)
    writer.raw(body.bytes)
    return writer.bytes
  }
}
