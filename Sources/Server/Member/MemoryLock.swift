internal import Glibc

/// `--memory-mlock`: every page of the process that has been in memory stays there.
enum MemoryLock {
  /// Pages are locked when they are first used: the store's map is far larger than any memory, and its file alone is
  /// what counts. Call it when the store is mapped: a limit on locked memory shows at once then, and not at a later
  /// allocation that nothing survives.
  static func acquire() throws(ConfigurationError) {
    guard mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 else {
      throw .invalid(
        "--memory-mlock: memory cannot be locked: \(SystemError.text(errno)) "
          + "(the process needs CAP_IPC_LOCK or LimitMEMLOCK=infinity)")
    }
  }
}
