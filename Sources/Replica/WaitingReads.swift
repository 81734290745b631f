/// Linearizable reads on their way: gathered -> asked, as one batch with one context -> confirmed, waiting until
/// enough is applied.
struct WaitingReads {
  struct Read {
    var ticket: Ticket
    var tick: UInt64
    /// Asked of the leases; a read of the store otherwise.
    var question: LeaseQuestion?
    /// Whether another member that leads may be asked.
    var isForwardable = false
  }
  struct Batch {
    /// The questions asked since its reads came, each unique for ever. The answer to any of them will do: if only that
    /// to the latest did, no read would end while an answer takes longer than the time between two questions.
    var contexts: [UInt64]
    var reads: [Read]
  }
  struct Confirmed {
    var index: UInt64
    var reads: [Read]
  }

  private(set) var gathered: [Read] = []
  private(set) var asked: [Batch] = []
  /// Ascending by index, nearly always: read indexes only grow in one term.
  private(set) var confirmed: [Confirmed] = []
  private var lastContext: UInt64 = 0
  private var mustAskAgain = false
  private(set) var count = 0

  var hasQuestion: Bool { !gathered.isEmpty || mustAskAgain }

  mutating func add(_ read: Read) {
    gathered.append(read)
    count += 1
  }

  /// The lead is another one: what was asked about leases is to be asked anew. A confirmation proves only that its
  /// leader led, and what this member knows of time is worth nothing unless that was itself, and still is.
  mutating func gatherQuestions() {
    var taken: [Read] = []
    func sift(_ reads: inout [Read]) {
      guard reads.contains(where: { $0.question != nil }) else { return }
      taken += reads.filter { $0.question != nil }
      reads.removeAll { $0.question != nil }
    }
    for position in confirmed.indices { sift(&confirmed[position].reads) }
    confirmed.removeAll { $0.reads.isEmpty }
    for position in asked.indices { sift(&asked[position].reads) }
    asked.removeAll { $0.reads.isEmpty }
    mustAskAgain = mustAskAgain && !asked.isEmpty
    gathered = taken + gathered
  }

  /// Takes the gathered questions that nobody but this member may answer.
  mutating func takeUnforwardable() -> [Ticket] {
    guard gathered.contains(where: { $0.question != nil && !$0.isForwardable }) else { return [] }
    let taken = gathered.filter { $0.question != nil && !$0.isForwardable }
    gathered.removeAll { $0.question != nil && !$0.isForwardable }
    count -= taken.count
    return taken.map(\.ticket)
  }

  /// Takes the gathered questions that another member may answer.
  mutating func takeForwardable() -> [(Ticket, LeaseQuestion)] {
    guard gathered.contains(where: \.isForwardable) else { return [] }
    var taken: [(Ticket, LeaseQuestion)] = []
    gathered.removeAll { read in
      guard read.isForwardable, let question = read.question else { return false }
      taken.append((read.ticket, question))
      return true
    }
    count -= taken.count
    return taken
  }

  /// Makes one batch of what is gathered; its context is to be asked for, and serves the earlier ones too if they are
  /// to be asked again.
  mutating func ask() -> UInt64 {
    lastContext += 1
    if mustAskAgain {
      for position in asked.indices { asked[position].contexts.append(lastContext) }
      mustAskAgain = false
    }
    if !gathered.isEmpty {
      asked.append(Batch(contexts: [lastContext], reads: gathered))
      gathered.removeAll(keepingCapacity: true)
    }
    return lastContext
  }

  /// The reads that were there when `context` was asked for need `index` applied.
  mutating func confirm(context: UInt64, index: UInt64) {
    asked.removeAll { batch in
      guard batch.contexts.contains(context) else { return false }
      confirmed.append(Confirmed(index: index, reads: batch.reads))
      return true
    }
  }

  /// A question was dropped: reads that no other one was asked for are gathered again.
  mutating func askAgain(context: UInt64) {
    var left: [Read] = []
    asked.removeAll { batch in
      guard batch.contexts == [context] else { return false }
      left += batch.reads
      return true
    }
    for position in asked.indices { asked[position].contexts.removeAll { $0 == context } }
    gathered = left + gathered
  }

  mutating func askAllAgain() {
    mustAskAgain = !asked.isEmpty
  }

  /// Takes the confirmed reads that may be served at `applied`.
  mutating func takeReady(applied: UInt64) -> [Read] {
    guard !confirmed.isEmpty else { return [] }
    var ready: [Read] = []
    confirmed.removeAll { batch in
      guard batch.index <= applied else { return false }
      ready += batch.reads
      return true
    }
    count -= ready.count
    return ready
  }

  /// Takes every read that was asked for and not confirmed.
  mutating func takeAsked() -> [Ticket] {
    let tickets = asked.flatMap { $0.reads.map(\.ticket) }
    asked.removeAll()
    mustAskAgain = false
    count -= tickets.count
    return tickets
  }

  /// A read whose time ran out.
  struct Expired {
    var ticket: Ticket
    /// Only this member's own state was behind.
    var wasConfirmed: Bool
  }

  /// Takes the reads that came at or before `tick`, oldest stage first.
  mutating func takeExpired(arrivedBy tick: UInt64) -> [Expired] {
    var tickets: [Expired] = []
    var wasConfirmed = true
    func sift(_ reads: inout [Read]) {
      guard reads.contains(where: { $0.tick <= tick }) else { return }
      for read in reads where read.tick <= tick {
        tickets.append(Expired(ticket: read.ticket, wasConfirmed: wasConfirmed))
      }
      reads.removeAll { $0.tick <= tick }
    }
    for position in confirmed.indices { sift(&confirmed[position].reads) }
    confirmed.removeAll { $0.reads.isEmpty }
    wasConfirmed = false
    for position in asked.indices { sift(&asked[position].reads) }
    asked.removeAll { $0.reads.isEmpty }
    mustAskAgain = mustAskAgain && !asked.isEmpty
    sift(&gathered)
    count -= tickets.count
    return tickets
  }
}
