internal import Model

extension ReadView {
  /// The state of a key just before main revision `main`, for prev_kv: nil if it did not exist, or if what it was has
  /// been compacted. Valid until the view renews or ends.
  public func previous(_ key: UnsafeRawBufferPointer, before main: Int64) throws(StoreError) -> Row? {
    // Rows below the compaction may be there or not, and etcd answers none of them.
    guard main > 1, main - 1 >= compactRevision, !key.isEmpty, let row = try latest(key, at: main - 1),
      !row.version.isTombstone
    else { return nil }
    return row
  }
}
