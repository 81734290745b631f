public import Model

extension EventBatchBuilder {
  /// The event that a row of the history is.
  public mutating func add(_ revision: Revision, _ row: Row) {
    if row.version.isTombstone {
      addDelete(revision, key: row.key)
    } else {
      addPut(
        revision, isCreate: row.version.create == revision.main, keyCount: row.key.count,
        keyValue: row.keyValue)
    }
  }
}
