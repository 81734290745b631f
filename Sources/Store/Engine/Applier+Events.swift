public import Model

extension Applier {
  /// Hands the rows of finished entries with main revisions from `from` on over, in revision order, as far as they are
  /// in the filling generation: those of all entries since the last `freeze`. Valid until the next change.
  public func finishedRows(
    from: Int64, _ body: (Revision, Row) throws(StoreError) -> Void
  ) throws(StoreError) {
    let count = filling.boundary.recordCount
    var index = filling.revisions.lowerBound(Revision(main: from, sub: 0), count: count)
    while index < count {
      let record = filling.revisions[index]
      try body(record.revision, record.row)
      index += 1
    }
  }
}
