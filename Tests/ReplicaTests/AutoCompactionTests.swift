import Primitives
import Replica
import Testing

/// etcd's schedule of automatic compaction, on virtual time.
@Suite("Automatic compaction")
struct AutoCompactionTests {
  private static let minute: UInt64 = 60_000
  private static let hour: UInt64 = 60 * minute

  /// A store that compacts when asked, as long as it works, and a clock.
  private struct World {
    var machine: AutoCompaction
    var now: UInt64
    var revision: Int64
    var compactRevision: Int64 = -1
    var leads = true
    var works = true
    /// When which revision was asked for.
    var asked: [(time: UInt64, revision: Int64)] = []
    var events: [AutoCompaction.Event] = []

    init(_ policy: AutoCompactionPolicy, now: UInt64 = 0, revision: Int64 = 1) {
      machine = AutoCompaction(policy: policy, now: now, revision: revision)
      self.now = now
      self.revision = revision
    }

    mutating func advance(to time: UInt64, step: UInt64, _ growth: (UInt64) -> Int64) {
      while now < time {
        now += step
        revision += growth(now)
        for event in machine.advance(
          now: now, revision: revision, compactRevision: compactRevision, leads: leads)
        {
          events.append(event)
          guard case .start(let target) = event else { continue }
          asked.append((now, target))
          if works { compactRevision = max(compactRevision, target) }
        }
      }
    }
  }

  // As in etcd's own tests, the later targets are a sample older than the period.
  @Test("One hour: the first compaction after an hour, then each hour, to what was current an hour before")
  func hourly() {
    var world = World(.periodic(milliseconds: Self.hour))
    world.advance(to: 5 * Self.hour + 1, step: 100) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    #expect(world.asked.map(\.time) == [1, 2, 3, 4, 5].map { $0 * Self.hour })
    #expect(world.asked.map(\.revision) == [1, 55, 115, 175, 235])
  }

  @Test("Ten hours: the first after ten, then every hour, to ten hours before")
  func long() {
    var world = World(.periodic(milliseconds: 10 * Self.hour))
    world.advance(to: 13 * Self.hour + 1, step: 1000) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    #expect(world.asked.map(\.time) == [10, 11, 12, 13].map { $0 * Self.hour })
    #expect(world.asked.map(\.revision) == [1, 55, 115, 175])
  }

  @Test("Five minutes: sampled every thirty seconds")
  func short() {
    var world = World(.periodic(milliseconds: 5 * Self.minute))
    world.advance(to: 15 * Self.minute + 1, step: 100) { $0.isMultiple(of: 30_000) ? 10 : 0 }
    #expect(world.asked.map(\.time) == [5, 10, 15].map { $0 * Self.minute })
    #expect(world.asked.map(\.revision) == [1, 91, 191])
  }

  @Test("Nothing new is not compacted again; what comes then is, at once")
  func unchanged() {
    var world = World(.periodic(milliseconds: Self.hour), revision: 7)
    world.advance(to: 10 * Self.hour, step: 1000) { _ in 0 }
    #expect(world.asked.map(\.revision) == [7])
    world.revision = 9
    world.advance(to: 12 * Self.hour, step: 1000) { _ in 0 }
    #expect(world.asked.map(\.revision) == [7, 9])
    // It was seen six minutes later, and became the oldest sample after eleven more.
    #expect(world.asked[1].time == 11 * Self.hour + 12 * Self.minute)
  }

  @Test("Only a leader compacts; one that takes over knows the samples")
  func leadership() {
    var world = World(.periodic(milliseconds: Self.hour))
    world.leads = false
    world.advance(to: 3 * Self.hour + Self.minute, step: 100) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    #expect(world.events.isEmpty)
    world.leads = true
    world.advance(to: 4 * Self.hour, step: 100) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    #expect(world.asked.first?.time == 3 * Self.hour + 6 * Self.minute)
    #expect(world.asked.first?.revision == Int64(121))
  }

  @Test("A failure is tried again at the next sample")
  func retry() {
    var world = World(.periodic(milliseconds: Self.hour))
    world.works = false
    world.advance(to: Self.hour + 13 * Self.minute, step: 1000) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    #expect(world.asked.map(\.time) == [60, 66, 72].map { $0 * Self.minute })
    #expect(world.asked.map(\.revision) == [1, 1, 7])
    #expect(
      world.events == [
        .start(revision: 1), .failed(revision: 1, retryMilliseconds: 6 * Self.minute), .start(revision: 1),
        .failed(revision: 1, retryMilliseconds: 6 * Self.minute), .start(revision: 7),
      ])
    world.works = true
    world.advance(to: 3 * Self.hour, step: 1000) { $0.isMultiple(of: Self.minute) ? 1 : 0 }
    // The success at 78 minutes counts from then.
    #expect(world.asked.dropFirst(3).map(\.time) == [78, 138].map { $0 * Self.minute })
  }

  @Test("By revision: every five minutes, to so many revisions before")
  func byRevision() {
    var world = World(.revision(100), revision: 90)
    world.advance(to: 5 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.asked.isEmpty, "there are no hundred revisions yet")
    world.revision = 99 + 5
    world.advance(to: 11 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.asked.map(\.time) == [10 * Self.minute] && world.asked.map(\.revision) == [4])
    world.advance(to: 26 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.asked.count == 1, "nothing new")
    world.works = false
    world.revision = 300
    world.advance(to: 36 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.asked.dropFirst().map(\.time) == [30, 35].map { $0 * Self.minute })
    #expect(world.asked.dropFirst().map(\.revision) == [200, 200])
  }

  @Test("Somebody else's compaction counts as done")
  func overtaken() {
    var world = World(.revision(10), revision: 50)
    world.compactRevision = 45
    world.advance(to: 6 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.events == [.start(revision: 40), .completed(revision: 40, milliseconds: 1000)])
    world.advance(to: 30 * Self.minute, step: 1000) { _ in 0 }
    #expect(world.asked.count == 1)
  }

  /// Whatever the times at which it is looked at, a whole period is kept, and targets never go back.
  @Test("Random times, periods and leaders", arguments: 0..<200 as Range<UInt64>)
  func random(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let period = UInt64.random(in: 1000...(20 * Self.hour), using: &random)
    let interval = min(period, Self.hour)
    let sample = interval / 10
    var world = World(.periodic(milliseconds: period), now: UInt64.random(in: 0...1000, using: &random))
    let start = world.now
    let step = max(1, sample / UInt64.random(in: 3...50, using: &random))
    /// The revision after each look, by time.
    var history: [(time: UInt64, revision: Int64)] = [(start, 1)]
    while world.now < start + period + 6 * interval {
      if Int.random(in: 0..<100, using: &random) == 0 { world.works.toggle() }
      if Int.random(in: 0..<300, using: &random) == 0 { world.leads.toggle() }
      let growth = Int64.random(in: 0...3, using: &random)
      let before = world.asked.count
      world.advance(to: world.now + 1, step: UInt64.random(in: 1...step, using: &random)) { _ in growth }
      history.append((world.now, world.revision))
      guard world.asked.count > before, let (time, revision) = world.asked.last else { continue }
      #expect(world.leads && time >= start + period)
      let current = history.last { $0.time + period <= time }?.revision ?? 0
      #expect(revision <= current, "less than the period is kept")
    }
    let revisions = world.asked.map(\.revision)
    #expect(revisions == revisions.sorted())
  }
}
