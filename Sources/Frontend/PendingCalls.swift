import Model
import Replica
import Wire

/// What to do when the member answers a ticket.
enum PendingWork {
  /// Send the result of the applied command.
  case command
  /// Send it, but only once compaction has removed the rows.
  case physicalCompaction(revision: Int64)
  /// The read may be made now.
  case range(RangeRequest)
  case transaction(TransactionRequest)
  case rangeStream(RangeRequest)
  case memberList
  /// The renewal of this number on a LeaseKeepAlive call.
  case leaseRenewal(number: Int)
  case leaseTimeToLive(id: Int64, wantsKeys: Bool)
  case leaseList
  /// Rarer calls: what to do once a read is linearizable, or once the command is applied.
  case afterRead((RPCCall) -> Void)
  case afterCommand((RPCCall) -> Void)
  /// A learner is to become a voter: send the members, or ask the leader if this member is not the one.
  case promotion(id: UInt64)
  /// The command was made on the call's behalf: whatever becomes of it, the call is refused.
  case refusal(ClientError)
  /// A request of the member itself: handed the result.
  case local((Result<LocalOutcome, ClientError>) -> Void)
  /// Not a gRPC call: told whether a linearizable read would have been answered.
  case probe((ClientError?) -> Void)
}

/// The calls of one event loop that wait for the member's thread, found by ticket.
///
/// A ticket names the loop, a slot, and how often the slot was used before, so that a late answer to a call that
/// is gone finds nothing.
struct PendingCalls {
  struct Pending {
    var call: RPCCall?
    var work: PendingWork
  }

  private struct Slot {
    var generation: UInt32
    /// The period in which its call came.
    var period: UInt32 = 0
    var pending: Pending?
  }

  private let loop: UInt64
  private var slots: [Slot] = []
  private var free: [UInt32] = []
  private var period: UInt32 = 0

  init(loop: Int) {
    precondition(loop >= 0 && loop < 255, "a ticket has eight bits for its event loop")
    self.loop = UInt64(loop) << 56
  }

  /// The event loop that a ticket belongs to.
  static func loop(of ticket: Ticket) -> Int { Int(ticket.number >> 56) }

  mutating func add(_ call: RPCCall?, _ work: PendingWork) -> Ticket {
    let index: UInt32
    if let reused = free.popLast() {
      index = reused
    } else {
      index = UInt32(slots.count)
      slots.append(Slot(generation: 0, pending: nil))
    }
    slots[Int(index)].pending = Pending(call: call, work: work)
    slots[Int(index)].period = period
    let generation = UInt64(slots[Int(index)].generation & 0xff_ffff)
    return Ticket(loop | generation << 32 | UInt64(index))
  }

  /// Takes a call out; nil if the ticket was answered before.
  mutating func take(_ ticket: Ticket) -> Pending? {
    let index = Int(ticket.number & 0xffff_ffff)
    guard index < slots.count else { return nil }
    let generation = UInt64(slots[index].generation & 0xff_ffff)
    guard generation == ticket.number >> 32 & 0xff_ffff, let pending = slots[index].pending else {
      return nil
    }
    release(index)
    return pending
  }

  private mutating func release(_ index: Int) {
    slots[index].pending = nil
    slots[index].generation &+= 1
    free.append(UInt32(index))
  }

  /// Ends a period of time, and takes out the calls that came more than `periods` before it. Renewals of leases wait as
  /// long as it takes: for the end of a lease that has expired.
  mutating func endPeriod(keeping periods: UInt32) -> [Pending] {
    var overdue: [Pending] = []
    for index in slots.indices {
      guard let pending = slots[index].pending, period &- slots[index].period > periods else { continue }
      if case .leaseRenewal = pending.work { continue }
      overdue.append(pending)
      release(index)
    }
    period &+= 1
    return overdue
  }
}
