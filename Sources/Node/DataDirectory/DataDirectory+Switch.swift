public import Disk
public import Store
internal import Synchronization

/// Switching to another store file. `CURRENT` is the only thing that changes: a crash before its rename leaves the
/// old store in use, afterwards the new one, and `open` removes the other.
extension DataDirectory {
  /// A defragmentation into the next generation's file. One is under way at a time.
  public func defragmentPlan(disk: any Disk) -> DefragmentPlan {
    let next = generation.withLock { $0 } + 1
    let path = Self.storePath(member: memberPath, next)
    return DefragmentPlan(disk: disk, path: path) { () throws(AdoptionError) in
      do throws(DiskError) {
        try disk.syncDirectory("\(self.memberPath)/store")
        try CurrentPointer(generation: next).prepare(in: self.memberPath, disk: disk)
      } catch {
        throw .refused(error)
      }
      do throws(DiskError) { try CurrentPointer.replace(in: self.memberPath, disk: disk) } catch {
        // The rename may have been made, or may still come to be durable.
        throw .unknown(error)
      }
      self.generation.withLock { $0 = next }
    }
  }
}
