public import Model

/// A read that may be served once `index` is applied.
public struct ReadState: Equatable, Sendable {
  public var context: UInt64
  public var index: UInt64
}

/// A message to a local stage, and what to hand to `RaftMachine.complete` once it is carried out, or to send if it
/// is for someone else.
public struct StorageMessage: Equatable, Sendable {
  public var message: Message
  public var responses: [Message]
}

/// All work that is outstanding at one moment, in etcd's form: what `RaftMachine.ready` hands out. `flush` turns it
/// into effects.
public struct RaftReady: Equatable, Sendable {
  /// Role or leader, if they changed.
  public var leadership: Leadership?
  /// Term, vote and commit, if they changed.
  public var hardState: HardState?
  public var readStates: [ReadState] = []
  /// To be written.
  public var entries: [Entry] = []
  /// To be installed, before `entries`.
  public var snapshot: SnapshotMetadata?
  /// To be applied.
  public var committed: [Entry] = []
  /// To be sent; without `asyncStorageWrites` only after everything above is written.
  public var messages: [Message] = []
  /// With `asyncStorageWrites`: what is for the log stage, and for the apply stage.
  public var append: StorageMessage?
  public var apply: StorageMessage?
  /// Whether the write has to be synced at once: entries, term or vote.
  public var mustSync = false

  public var isEmpty: Bool {
    leadership == nil && hardState == nil && readStates.isEmpty && entries.isEmpty && snapshot == nil
      && committed.isEmpty && messages.isEmpty && append == nil && apply == nil
  }
}

/// The names under which messages to and from the local stages travel.
public enum LocalStage {
  public static var append: UInt64 { .max }
  public static var apply: UInt64 { .max - 1 }
}
