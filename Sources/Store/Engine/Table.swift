/// The tables of the store. The raw value names a table in snapshots and is part of their format.
public enum Table: UInt8, CaseIterable, Hashable, Sendable {
  case rev = 1
  case key, long, lease, leasekey, auth, user, role, member, alarm, meta
}
