/// A position in the store's history: the main revision of the transaction, and the sub revision of the
/// change inside it (etcd: mvcc.Revision).
public struct Revision: Hashable, Comparable, Sendable {
  public var main: Int64
  public var sub: Int64

  public init(main: Int64, sub: Int64) {
    self.main = main
    self.sub = sub
  }

  public static func < (a: Revision, b: Revision) -> Bool {
    a.main < b.main || (a.main == b.main && a.sub < b.sub)
  }
}

/// mvccpb.KeyValue.
public struct KeyValue: Hashable, Sendable {
  public var key: [UInt8]
  public var createRevision: Int64
  public var modRevision: Int64
  public var version: Int64
  public var value: [UInt8]
  public var lease: Int64

  public init(
    key: [UInt8] = [], createRevision: Int64 = 0, modRevision: Int64 = 0, version: Int64 = 0,
    value: [UInt8] = [], lease: Int64 = 0
  ) {
    self.key = key
    self.createRevision = createRevision
    self.modRevision = modRevision
    self.version = version
    self.value = value
    self.lease = lease
  }
}

/// mvccpb.Event.
public struct Event: Hashable, Sendable {
  public enum Kind: Int32, Sendable { case put = 0, delete = 1 }

  public var kind: Kind
  public var keyValue: KeyValue
  public var previous: KeyValue?

  public init(kind: Kind, keyValue: KeyValue, previous: KeyValue? = nil) {
    self.kind = kind
    self.keyValue = keyValue
    self.previous = previous
  }
}
