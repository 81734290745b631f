internal import Model
internal import Node
internal import Replica
internal import Synchronization

/// What the member itself asks of its own thread, for other members or for its end. Any thread.
final class MemberRequests: Sendable {
  typealias Completion = @Sendable (Answer) -> Void

  private struct State {
    var next: UInt64 = 0
    var waiting: [UInt64: Completion] = [:]
    var isClosed = false
  }

  /// Above the tickets of event loops.
  private static let tickets: UInt64 = 255 << 56
  /// Other members ask on behalf of their clients; so many may wait.
  private static let waitingMax = 65_536

  private let inbox: Inbox<NodeInput>
  private let state = Mutex(State())
  private let count = Atomic<Int>(0)

  init(_ inbox: Inbox<NodeInput>) { self.inbox = inbox }

  /// Hands an input with a ticket of its own to the member's thread; `completion` is called once, there or here.
  func ask(_ input: (Ticket) -> NodeInput, _ completion: @escaping Completion) {
    var refusal: ClientError?
    var number: UInt64 = 0
    state.withLock { state in
      if state.isClosed {
        refusal = .serverStopped
      } else if state.waiting.count >= Self.waitingMax {
        refusal = .tooManyRequests
      } else {
        number = state.next
        state.next += 1
        state.waiting[number] = completion
      }
    }
    let ticket = Ticket(Self.tickets | number)
    if let refusal { return completion(.failed(ticket, refusal)) }
    count.add(1, ordering: .relaxed)
    inbox.push(input(ticket))
  }

  /// Takes its own answers out of a batch. From the member's thread.
  func take(from answers: inout [Answer]) {
    guard count.load(ordering: .relaxed) > 0, answers.contains(where: { Self.isOwn($0.ticket) }) else {
      return
    }
    let own = answers.filter { Self.isOwn($0.ticket) }
    answers.removeAll { Self.isOwn($0.ticket) }
    for answer in own {
      let number = answer.ticket.number & ~Self.tickets
      guard let completion = state.withLock({ $0.waiting.removeValue(forKey: number) }) else { continue }
      count.subtract(1, ordering: .relaxed)
      completion(answer)
    }
  }

  /// The member's thread has ended: what still waits, or comes later, is refused.
  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      defer { state.waiting = [:] }
      return state.waiting
    }
    for (number, completion) in waiting {
      completion(.failed(Ticket(Self.tickets | number), .serverStopped))
    }
  }

  private static func isOwn(_ ticket: Ticket) -> Bool { ticket.number >= tickets }
}
