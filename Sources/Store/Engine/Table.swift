internal import LMDB

/// The tables of the store. The raw value names a table in checksums and snapshots and is part of their
/// formats; the name is the LMDB table's.
public enum Table: UInt8, CaseIterable, Hashable, Sendable {
  /// Every row of history, by revision.
  case rev = 1
  /// The latest row of each user key.
  case key
  /// Where keys of 480 bytes and more go on.
  case long
  case lease, leasekey, auth, user, role, member, alarm
  /// `identity`, `state` and `confState`.
  case meta

  /// Tables that the applier writes row by row; the others follow from puts, deletes and commits.
  public var isPlain: Bool {
    switch self {
    case .rev, .key, .long: false
    case .lease, .leasekey, .auth, .user, .role, .member, .alarm, .meta: true
    }
  }
}

extension Table {
  static let names = Table.allCases.map { "\($0)" }

  /// Its place among the names.
  var slot: Int { Int(rawValue) - 1 }
}

extension Environment {
  @inline(__always)
  func database(_ table: Table) -> Database { database(table.slot) }
}

/// Table handles, looked up once.
struct TableHandles {
  let rev: Database
  let key: Database
  let long: Database
  private let all: [Database]

  init(_ environment: Environment) {
    all = Table.allCases.map { environment.database($0) }
    rev = environment.database(.rev)
    key = environment.database(.key)
    long = environment.database(.long)
  }

  subscript(table: Table) -> Database { all[table.slot] }
}
