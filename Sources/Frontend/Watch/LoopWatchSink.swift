import Metrics
import Model
import Primitives
import Replica
import Wire

/// Encodes the machine's responses and hands them to the streams' calls, or to handlers inside the member.
struct LoopWatchSink: WatchSink {
  let service: WatchService

  private enum Field {
    static let watchID = 2
    static let created = 3
    static let canceled = 4
    static let compactRevision = 5
    static let cancelReason = 6
    static let fragment = 7
  }

  func created(_ stream: WatchStreamID, watchID: Int64, revision: Int64, refusal: String?) {
    send(stream, watchID, revision: revision) { writer in
      writer.bool(Field.created, true)
      if let refusal {
        writer.bool(Field.canceled, true)
        writer.string(Field.cancelReason, refusal)
      }
    } local: {
      refusal.map { .failed(ClientError(.unknown, $0)) } ?? .created(revision: revision)
    }
  }

  func cancelled(
    _ stream: WatchStreamID, watchID: Int64, revision: Int64, compactRevision: Int64, reason: String
  ) {
    send(stream, watchID, revision: revision) { writer in
      writer.bool(Field.canceled, true)
      writer.int64(Field.compactRevision, compactRevision)
      writer.string(Field.cancelReason, reason)
    } local: {
      if compactRevision != 0 { return .compacted(revision: compactRevision) }
      return reason.isEmpty ? nil : .failed(ClientError(.unknown, reason))
    }
  }

  func progress(_ stream: WatchStreamID, watchID: Int64, revision: Int64) {
    send(stream, watchID, revision: revision) { _ in
    } local: {
      nil
    }
  }

  func events(
    _ stream: WatchStreamID, watchID: Int64, revision: Int64, fragment: Bool, _ body: WatchBody
  ) -> Bool {
    switch service.outlet(stream) {
    case .call(let call):
      service.front.metrics.events.add(UInt64(body.eventCount))
      var writer = service.front.builder.begin(
        revision: revision, term: service.front.term, reserving: body.range.count + 24)
      writer.int64(Field.watchID, watchID)
      writer.bool(Field.fragment, fragment)
      body.bytes.withUnsafeBytes { bytes in writer.raw(UnsafeRawBufferPointer(rebasing: bytes[body.range])) }
      return call.send(writer.bytes)
    case .local(let watch):
      service.notify(watch, .events(decode(body), revision: revision))
      return true
    case nil: return true
    }
  }

  func previous(_ key: ArraySlice<UInt8>, at revision: Int64) -> [UInt8]? {
    service.previous(key, at: revision)
  }

  func readHistory(_ read: HistoryRead) { service.add(read) }

  private func send(
    _ stream: WatchStreamID, _ watchID: Int64, revision: Int64, _ fields: (inout ProtoWriter) -> Void,
    local notice: () -> LocalWatchNotice?
  ) {
    switch service.outlet(stream) {
    case .call(let call):
      var writer = service.front.builder.begin(revision: revision, term: service.front.term, reserving: 24)
      writer.int64(Field.watchID, watchID)
      fields(&writer)
      // Control responses are few beside the requests that cause them, and those stop when the connection is full.
      _ = call.send(writer.bytes)
    case .local(let watch):
      if let notice = notice() { service.notify(watch, notice) }
    case nil: break
    }
  }

  /// Our own encoding, taken apart again for who is inside the member.
  private func decode(_ body: WatchBody) -> [Event] {
    body.bytes.withUnsafeBytes { bytes in
      var events: [Event] = []
      var reader = ProtoReader(UnsafeRawBufferPointer(rebasing: bytes[body.range]))
      do throws(ProtoError) {
        while try reader.nextTag() != nil { events.append(try Event(decoding: try reader.readBuffer())) }
      } catch {
        preconditionFailure("events are encoded by the store: \(error)")
      }
      return events
    }
  }
}
