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
    /// Unique for ever: a late answer to an abandoned question finds nothing.
    var context: UInt64
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
  private(set) var count = 0

  mutating func add(_ read: Read) {
    gathered.append(read)
    count += 1
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

  /// Makes one batch of what is gathered; its context is to be asked for.
  mutating func ask() -> UInt64 {
    lastContext += 1
    asked.append(Batch(context: lastContext, reads: gathered))
    gathered.removeAll(keepingCapacity: true)
    return lastContext
  }

  /// The batch's reads need `index` applied.
  mutating func confirm(context: UInt64, index: UInt64) {
    guard let position = asked.firstIndex(where: { $0.context == context }) else { return }
    let batch = asked.remove(at: position)
    confirmed.append(Confirmed(index: index, reads: batch.reads))
  }

  /// The batch's question was dropped: it is gathered again and gets a new context.
  mutating func askAgain(context: UInt64) {
    guard let position = asked.firstIndex(where: { $0.context == context }) else { return }
    gathered.insert(contentsOf: asked.remove(at: position).reads, at: 0)
  }

  mutating func askAllAgain() {
    guard !asked.isEmpty else { return }
    gathered = asked.flatMap(\.reads) + gathered
    asked.removeAll()
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
    sift(&gathered)
    count -= tickets.count
    return tickets
  }
}
