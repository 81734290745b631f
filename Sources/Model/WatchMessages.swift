/// etcdserverpb.WatchRequest; `.none` is a message without the union, which the server passes over.
public enum WatchRequest: Hashable, Sendable {
  case none
  case create(WatchCreateRequest)
  case cancel(watchID: Int64)
  case progress
}

/// etcdserverpb.WatchCreateRequest.
public struct WatchCreateRequest: Hashable, Sendable {
  public enum Filter: Int32, CaseIterable, Sendable { case noPut = 0, noDelete }

  public var key: [UInt8] = []
  public var rangeEnd: [UInt8] = []
  public var startRevision: Int64 = 0
  public var progressNotify = false
  /// Raw enum values as they came; unknown ones have no meaning.
  public var filters: [Int32] = []
  public var previousKeyValue = false
  public var watchID: Int64 = 0
  public var fragment = false

  public init() {}
}
