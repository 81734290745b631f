import Primitives
import Synchronization

/// The faults a simulated disk has been asked for.
struct Faults {
  /// What happens to an operation.
  enum Outcome {
    case done
    /// It fails; a write may have happened in part.
    case error(DiskError.Code)
    /// The power goes off while it runs: whether it happened is decided by `crash`.
    case powerOff
  }

  var random: SeededRandom
  var scheduled: [Int: DiskError.Code] = [:]
  var powerOffAt: Int?
  var isOff = false
  var capacityBytes: Int?
  var chance: (numerator: Int, denominator: Int, operations: Set<DiskError.Operation>)?
}

extension SimulatedState {
  /// Counts an operation and says what is to become of it.
  mutating func begin(_ operation: DiskError.Operation, _ path: String) throws(DiskError) -> Faults.Outcome {
    if faults.isOff { throw DiskError(operation, path, .powerOff) }
    let number = operationCount
    operationCount += 1
    if number == faults.powerOffAt {
      faults.isOff = true
      return .powerOff
    }
    if let code = faults.scheduled.removeValue(forKey: number) { return .error(code) }
    if let (numerator, denominator, operations) = faults.chance, operations.contains(operation),
      faults.random.chance(numerator, in: denominator)
    {
      return .error(.inputOutput)
    }
    return .done
  }

  func end(_ fault: Faults.Outcome, _ operation: DiskError.Operation, _ path: String) throws(DiskError) {
    switch fault {
    case .done: return
    case .error(let code): throw DiskError(operation, path, code)
    case .powerOff: throw DiskError(operation, path, .powerOff)
    }
  }
}

extension SimulatedDisk {
  /// The number the next operation will have. Sizes and closes are not counted.
  public var operationCount: Int { state.withLock { $0.operationCount } }

  /// Lets the operation of this number fail.
  public func fail(operation number: Int, with code: DiskError.Code) {
    state.withLock { $0.faults.scheduled[number] = code }
  }

  /// Lets the next operation fail.
  public func failNextOperation(with code: DiskError.Code) {
    state.withLock { $0.faults.scheduled[$0.operationCount] = code }
  }

  /// Cuts the power while the operation of this number runs: it and all later ones fail with `.powerOff`
  /// until `crash`, which decides whether it happened.
  public func cutPower(atOperation number: Int) {
    state.withLock { $0.faults.powerOffAt = number }
  }

  /// Cuts the power now.
  public func cutPower() {
    state.withLock { $0.faults.isOff = true }
  }

  /// Limits the bytes of all files: writes that grow beyond fail with ENOSPC. nil lifts the limit.
  public func limitCapacity(bytes: Int?) {
    state.withLock { $0.faults.capacityBytes = bytes }
  }

  /// Lets operations of some kinds fail with EIO at random; a numerator of 0 ends it.
  public func failAtRandom(
    _ numerator: Int, in denominator: Int, operations: Set<DiskError.Operation>
  ) {
    state.withLock { $0.faults.chance = numerator == 0 ? nil : (numerator, denominator, operations) }
  }
}
