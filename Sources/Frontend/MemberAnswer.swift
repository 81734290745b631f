public import Model
public import Replica

/// An answer of the member's thread to a ticket.
public enum MemberAnswer: Sendable {
  /// The command was applied; `body` is the response without its header.
  case applied(Ticket, headerRevision: Int64, body: [UInt8])
  case failed(Ticket, ClientError)
  /// A read made from now on is linearizable.
  case readReady(Ticket)

  public var ticket: Ticket {
    switch self {
    case .applied(let ticket, _, _), .failed(let ticket, _), .readReady(let ticket): ticket
    }
  }
}
