internal import Frontend
internal import Model
internal import NIOCore
internal import Node
internal import PeerTransport
internal import Replica
internal import Synchronization

/// Asks the leader what it alone can tell: about the time of leases, and whether a learner is ready. Any thread.
///
/// A question that got no answer is asked anew, of whoever leads by then, until the time limit of a request has passed.
final class LeaderQuestions: Sendable {
  /// What it needs of the composition, which exists only once the links do.
  struct Way: Sendable {
    var client: PeerClient
    var eventLoop: any EventLoop
    var leader: @Sendable () -> [PeerURL]
    var inbox: Inbox<NodeInput>
    var answer: @Sendable (Answer) -> Void
    /// The time limit of a request, in nanoseconds.
    var limit: UInt64
  }

  private struct Question {
    var ticket: Ticket
    var question: LeaseQuestion
    var urls: [PeerURL]
    var deadline: UInt64
  }

  private struct State {
    var way: Way?
    /// When the time of a ticket is over that was asked already.
    var deadlines: [Ticket: UInt64] = [:]
    var nextSweep: UInt64 = 0
    var waiting: [Question] = []
    var underWay = 0
  }

  /// Each question has a connection of its own.
  private static let underWayMax = 32
  private static let pause: TimeAmount = .milliseconds(50)

  private let state = Mutex(State())

  func begin(_ way: Way) { state.withLock { $0.way = way } }

  // MARK: Leases

  func ask(_ ticket: Ticket, _ question: LeaseQuestion, urls: [PeerURL]) {
    let now = monotonicNanoseconds()
    state.withLock { state in
      guard let way = state.way else { return }
      if now >= state.nextSweep {
        // Those that this member could answer itself the second time are not asked again.
        state.deadlines = state.deadlines.filter { now < $0.value }
        state.nextSweep = now + way.limit
      }
      let deadline = state.deadlines[ticket] ?? now + way.limit
      state.deadlines[ticket] = deadline
      state.waiting.append(Question(ticket: ticket, question: question, urls: urls, deadline: deadline))
    }
    proceed()
  }

  private func proceed() {
    let next: (Way, [Question])? = state.withLock { state in
      guard let way = state.way, !state.waiting.isEmpty, state.underWay < Self.underWayMax else { return nil }
      let count = min(Self.underWayMax - state.underWay, state.waiting.count)
      let questions = Array(state.waiting.prefix(count))
      state.waiting.removeFirst(count)
      state.underWay += count
      return (way, questions)
    }
    guard let (way, questions) = next else { return }
    way.eventLoop.execute { for question in questions { self.send(question, way) } }
  }

  private func send(_ question: Question, _ way: Way) {
    let now = monotonicNanoseconds()
    guard now < question.deadline, let url = question.urls.first else { return ended(question, nil, way) }
    way.client.call(
      "POST", url, path: LeaseMessages.path(question.question),
      headers: [("Content-Type", "application/protobuf")], body: LeaseMessages.request(question.question),
      timeout: Int64(clamping: question.deadline - now)
    ).whenComplete { result in
      guard case .success(let response) = result else {
        var other = question
        other.urls.removeFirst()
        return other.urls.isEmpty ? self.ended(question, nil, way) : self.send(other, way)
      }
      self.ended(question, Self.answer(question.question, response), way)
    }
  }

  /// Nil: it has to be asked again.
  private static func answer(_ question: LeaseQuestion, _ response: PeerResponse) -> LeaseAnswer? {
    switch response.status {
    case 200: return LeaseMessages.answer(question, body: response.body)
    case 404:
      // A member that does not know the path says so in the same way.
      guard String(decoding: response.body, as: UTF8.self).contains("lease not found") else { return nil }
      switch question {
      case .renew: return .renewed(ttlSeconds: 0)
      case .timeToLive: return .timeToLive(nil)
      }
    default: return nil
    }
  }

  private func ended(_ question: Question, _ answer: LeaseAnswer?, _ way: Way) {
    let isLate = monotonicNanoseconds() >= question.deadline
    state.withLock { state in
      state.underWay -= 1
      if answer != nil || isLate { state.deadlines[question.ticket] = nil }
    }
    if let answer {
      way.answer(.lease(question.ticket, answer))
    } else if isLate {
      way.answer(.failed(question.ticket, .requestTimedOut))
    } else {
      _ = way.eventLoop.scheduleTask(in: Self.pause) {
        switch question.question {
        case .renew(let id): way.inbox.push(.replica(.leaseRenew(question.ticket, id: id)))
        case .timeToLive(let id): way.inbox.push(.replica(.leaseTimeToLive(question.ticket, id: id)))
        }
      }
    }
    proceed()
  }

  // MARK: Promotion

  /// Has the leader make a voter of a learner.
  func promote(_ id: UInt64, _ completion: @escaping @Sendable (ClientError?) -> Void) {
    guard let way = state.withLock({ $0.way }) else { return completion(.notLeader) }
    let deadline = monotonicNanoseconds() + way.limit
    way.eventLoop.execute { self.promote(id, way, deadline, completion) }
  }

  private func promote(
    _ id: UInt64, _ way: Way, _ deadline: UInt64, _ completion: @escaping @Sendable (ClientError?) -> Void
  ) {
    let now = monotonicNanoseconds()
    guard now < deadline else { return completion(.requestTimedOut) }
    let again: @Sendable () -> Void = {
      _ = way.eventLoop.scheduleTask(in: Self.pause) { self.promote(id, way, deadline, completion) }
    }
    guard let url = way.leader().first else { return again() }
    way.client.call(
      "POST", url, path: "/members/promote/\(id)", body: [], timeout: Int64(clamping: deadline - now)
    ).whenComplete { result in
      guard case .success(let response) = result else { return again() }
      completion(Self.refusal(response))
    }
  }

  private static func refusal(_ response: PeerResponse) -> ClientError? {
    let text = String(decoding: response.body.prefix(300), as: UTF8.self)
    switch response.status {
    case 200: return nil
    case 404: return .memberNotFound
    case 408: return .requestTimedOut
    case 412 where text.contains("in sync with leader"): return .learnerNotReady
    case 412 where text.contains("can only promote a learner member"): return .memberNotLearner
    default: return ClientError(.unknown, "member promote: unknown error(\(text))")
    }
  }
}
