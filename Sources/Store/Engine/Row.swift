public import Model

/// The facts about one version of a key.
public struct RowVersion: Hashable, Sendable {
  public var mod: Revision
  /// Revision of the put that created the key's current life; 0 for a tombstone.
  public var create: Int64
  /// 1 for the creating put; 0 for a tombstone.
  public var version: Int64
  public var lease: Int64
  public var isTombstone: Bool

  public init(mod: Revision, create: Int64, version: Int64, lease: Int64, isTombstone: Bool) {
    self.mod = mod
    self.create = create
    self.version = version
    self.lease = lease
    self.isTombstone = isTombstone
  }
}

/// A row seen in a view. The pointers lead into the map or a generation's memory and are valid until the view
/// renews or ends (in an applier: until the entry is finished); inside a scan the key is valid until its body
/// returns.
public struct Row {
  public var version: RowVersion
  public var key: UnsafeRawBufferPointer
  /// The encoded mvccpb.KeyValue, exactly etcd's bytes; a tombstone's carries the key only. Empty where a
  /// scan was asked for metadata.
  public var keyValue: UnsafeRawBufferPointer

  @inlinable
  public init(version: RowVersion, key: UnsafeRawBufferPointer, keyValue: UnsafeRawBufferPointer) {
    self.version = version
    self.key = key
    self.keyValue = keyValue
  }
}

/// Where a range of keys ends.
public enum KeyBound: Hashable, Sendable {
  /// Keys below this one.
  case before([UInt8])
  case unbounded
}

/// What a scan's body wants next.
public enum ScanStep: Hashable, Sendable {
  case next
  case stop
}

/// What a scan has to fetch for each row. Metadata spares the lookup of values that are not stored beside
/// their key.
public enum RowContent: Hashable, Sendable {
  case keyValue
  case metadata
}
