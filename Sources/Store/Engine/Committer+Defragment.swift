internal import Disk
internal import LMDB

/// A defragmentation under way.
struct Defragmentation {
  let plan: DefragmentPlan
  let copy: FileCopy
  let start: UInt64
  /// When the next slice is due.
  var due: UInt64
  /// True when what was copied has been synced once, and only changes of commits are left to sync.
  var isSynced = false
}

/// Online defragmentation: the rows of all tables are copied in order into a new file, which packs them
/// densely, in bounded slices between commits; commits change both files (`CommitTransaction`). When all
/// rows are there the new file is compared and synced, taken into use for the next start by
/// `DefragmentPlan.adopt`, published to views, and only then is the old one removed.
///
/// A crash before `adopt` has finished leaves the old file in use, afterwards the new one; both hold the same
/// committed state then. Any error on the way ends the attempt, and the store goes on with the old file.
extension Committer {
  public var isDefragmenting: Bool { work.defragmentation != nil }

  /// Bytes of rows that the defragmentation under way has copied.
  public var defragmentedBytes: Int64 { work.defragmentation?.copy.bytes ?? 0 }

  /// Begins; `workNext` does the work and reports the end. An error leaves everything as it was.
  public func startDefragment(_ plan: DefragmentPlan, now: UInt64) throws(StoreError) {
    precondition(work.defragmentation == nil, "one defragmentation at a time")
    do throws(DiskError) { try StoreFile.remove(plan.path, plan.disk) } catch { throw StoreError(error) }
    let copy: FileCopy
    do throws(StoreError) {
      copy = try FileCopy(path: plan.path, options: store.options)
    } catch {
      removeQuietly(plan)
      throw error
    }
    work.defragmentation = Defragmentation(plan: plan, copy: copy, start: now, due: now)
  }

  func defragmentNext(_ current: Defragmentation, now: UInt64) throws(StoreError) -> WorkReport {
    var next = current
    do throws(StoreError) {
      if !current.copy.isComplete {
        try checkSpace(for: current.copy)
        let bytes = try current.copy.step(from: file, bytesMax: store.options.defragmentStepBytes)
        let rate = UInt64(max(store.options.defragmentBytesPerSecond, 1))
        next.due = now.adding(UInt64(bytes) * 1_000_000_000 / rate)
      } else if !current.isSynced {
        try current.copy.sync()
        next.isSynced = true
      } else {
        return .defragmented(try finish(current, now: now))
      }
    } catch {
      work.defragmentation = nil
      // The new file may be the one that counts.
      if case .poisoned = error { throw error }
      removeQuietly(current.plan)
      return .defragmentationFailed(error)
    }
    work.defragmentation = next
    return .progressed
  }

  /// The copy must not take the room that the store itself needs to grow.
  private func checkSpace(for copy: FileCopy) throws(StoreError) {
    let available: Int64
    do throws(LMDBError) { available = try copy.environment.availableBytes() } catch {
      throw StoreError(error)
    }
    guard !file.space.isShort, available >= store.options.defragmentReserveBytes else {
      throw StoreError.noSpace(file: copy.environment.path, operation: "defragment")
    }
  }

  private func finish(_ current: Defragmentation, now: UInt64) throws(StoreError) -> DefragmentReport {
    let old = file
    let transactionID = try current.copy.finish(from: old, state)
    let new = StoreFile(current.copy.environment, options: store.options)
    guard new.space.extend(ahead: old.space.aheadBytes) else {
      throw StoreError.noSpace(file: new.path, operation: "defragment")
    }
    do throws(AdoptionError) {
      try current.plan.adopt()
    } catch {
      switch error {
      case .refused(let error): throw StoreError(error)
      case .unknown(let error):
        let poison = StoreError.poisoned(reason: "switch to \(new.path): \(error)")
        store.poison(StoreError(error))
        throw poison
      }
    }
    let report = DefragmentReport(
      path: new.path, rows: current.copy.rows, bytesBefore: old.usedBytes, bytesAfter: new.usedBytes,
      nanoseconds: now >= current.start ? now - current.start : 0)
    store.replace(file: new, transactionID: transactionID)
    file = new
    // The applier may have made more room in the old file since; from its next entry on it does so in this one.
    _ = new.space.extend(ahead: old.space.aheadBytes)
    work.defragmentation = nil
    work.retired.append(RetiredFile(old.environment, disk: current.plan.disk))
    work.retiredDue = now
    return report
  }

  /// Removes what was built, be it still open.
  func removeQuietly(_ plan: DefragmentPlan) {
    do throws(DiskError) { try StoreFile.remove(plan.path, plan.disk) } catch {
      // It stays until the next attempt or start removes it: no reason to stop.
      return
    }
  }
}
