import Synchronization

/// How much the member was handed and has not processed. Appends stop first, so that what keeps a leader in office
/// still gets through.
final class ReceiveBudget: Sendable {
  /// Whether one kind of stream is read.
  private final class Gate: Sendable {
    let bytesMax: Int
    let isShut = Atomic<Bool>(false)

    init(bytesMax: Int) { self.bytesMax = bytesMax }
  }

  private let appends: Gate
  private let others: Gate
  private let outstanding = Atomic<Int>(0)

  init(_ limits: PeerLimits) {
    appends = Gate(bytesMax: limits.receivedBytes)
    others = Gate(bytesMax: limits.receivedUrgentBytes)
  }

  func mayRead(_ kind: StreamKind) -> Bool { !gate(kind).isShut.load(ordering: .sequentiallyConsistent) }

  /// Counts what was handed over. Returns the kinds whose reading has to be set anew. On the event loop.
  func take(_ bytes: Int) -> [StreamKind] {
    let total = outstanding.add(bytes, ordering: .sequentiallyConsistent).newValue
    let shut = StreamKind.allCases.filter { total > gate($0).bytesMax && mayRead($0) }
    for kind in shut { gate(kind).isShut.store(true, ordering: .sequentiallyConsistent) }
    // What was given back before the gate was shut did not see it.
    if !shut.isEmpty { _ = reopen() }
    return shut
  }

  /// True if a gate may have to be opened. From any thread.
  func giveBack(_ bytes: Int) -> Bool {
    let total = outstanding.subtract(bytes, ordering: .sequentiallyConsistent).newValue
    return StreamKind.allCases.contains { !mayRead($0) && total <= gate($0).bytesMax / 2 }
  }

  /// Opens what need not be shut any more, and returns it. On the event loop.
  func reopen() -> [StreamKind] {
    let total = outstanding.load(ordering: .sequentiallyConsistent)
    let open = StreamKind.allCases.filter { !mayRead($0) && total <= gate($0).bytesMax / 2 }
    for kind in open { gate(kind).isShut.store(false, ordering: .sequentiallyConsistent) }
    return open
  }

  private func gate(_ kind: StreamKind) -> Gate { kind == .append ? appends : others }
}
