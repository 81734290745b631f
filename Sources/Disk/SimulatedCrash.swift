public import Primitives
import Synchronization

/// What a power cut leaves of the changes that were not synced.
public enum CrashOutcome: Sendable {
  /// Everything, as when only the process was killed.
  case keepEverything
  /// Nothing.
  case loseEverything
  /// Any part: some crashes all or none, others change by change and sector by sector.
  case random
  /// Unit `i` (see `SimulatedDisk.pendingUnits`) is kept when bit `i` is set: for exhaustive enumeration.
  case subset(UInt64)
}

extension SimulatedDisk {
  /// The units a crash keeps or loses: each sector of each unsynced write, each truncation, each change of
  /// names.
  public var pendingUnits: Int {
    state.withLock { state in
      state.pendingNames.count
        + state.inodes.reduce(0) { sum, inode in sum + inode.pending.reduce(0) { $0 + units(of: $1.kind) } }
    }
  }

  /// The power is cut and comes back: handles and locks are gone, planned faults too (the capacity limit
  /// stays), and of what was not synced remains what `outcome` says.
  public func crash(_ outcome: CrashOutcome, random: inout SeededRandom) {
    var choice = CrashChoice(outcome, random: random)
    state.withLock { $0.crash(&choice) }
    random = choice.random
  }

  /// A second disk in the same state; handles and locks are not copied.
  public func copy() -> SimulatedDisk {
    let copied = state.withLock { state in
      var copy = state
      copy.locks = []
      copy.generation += 1
      return copy
    }
    return SimulatedDisk(state: copied)
  }

  /// The bytes of a file as the program sees them, nil when there is no such file.
  public func contents(_ path: String) -> [UInt8]? {
    state.withLock { state in
      guard case .file(let inode) = state.names[path] else { return nil }
      return state.inodes[inode].current
    }
  }

  /// Sets a file's bytes, durably and behind the program's back: damage, or a file from elsewhere.
  public func setContents(_ path: String, _ bytes: [UInt8]) {
    state.withLock { state in
      let inode: Int
      if case .file(let existing) = state.names[path] {
        inode = existing
      } else {
        state.inodes.append(SimulatedState.Inode())
        inode = state.inodes.count - 1
        state.names[path] = .file(inode: inode)
        state.durableNames[path] = .file(inode: inode)
      }
      state.inodes[inode].current = bytes
      state.inodes[inode].durable = bytes
      state.inodes[inode].pending = []
    }
  }

  /// Flips one bit of a file, durably; bit 0 is the lowest of the first byte.
  public func flipBit(_ bit: Int, of path: String) {
    state.withLock { state in
      guard case .file(let inode) = state.names[path] else { return }
      precondition(bit / 8 < state.inodes[inode].current.count, "the bit lies in the file")
      state.inodes[inode].current[bit / 8] ^= 1 << UInt8(bit % 8)
      if bit / 8 < state.inodes[inode].durable.count {
        state.inodes[inode].durable[bit / 8] ^= 1 << UInt8(bit % 8)
      }
    }
  }
}

/// Decides, unit by unit, what survives.
private struct CrashChoice {
  private enum Rule {
    case constant(Bool)
    case chance(Int)
    case bits(UInt64)
  }

  var random: SeededRandom
  private var rule: Rule
  private var unit = 0

  init(_ outcome: CrashOutcome, random: SeededRandom) {
    self.random = random
    switch outcome {
    case .keepEverything: rule = .constant(true)
    case .loseEverything: rule = .constant(false)
    case .subset(let bits): rule = .bits(bits)
    case .random:
      // Uniform coins alone would almost never lose or keep all of a long write.
      let kind = self.random.below(8)
      rule = kind < 2 ? .constant(kind == 0) : .chance(1 + self.random.below(15))
    }
  }

  mutating func keepsNext() -> Bool {
    defer { unit += 1 }
    switch rule {
    case .constant(let keeps): return keeps
    case .chance(let sixteenths): return random.chance(sixteenths, in: 16)
    case .bits(let bits):
      precondition(unit < 64, "an enumerated crash has at most 64 units")
      return bits >> UInt64(unit) & 1 == 1
    }
  }

  /// True when a whole write shares one fate: common on real disks, rare by sector coins.
  mutating func sharesFate() -> Bool {
    if case .chance = rule { return random.chance(1, in: 2) }
    return false
  }
}

private func units(of kind: SimulatedState.PendingChange.Kind) -> Int {
  switch kind {
  case .truncate: 1
  case .write(let bytes, let offset): sectors(of: bytes, at: offset).count
  }
}

/// The pieces of a write that lie in one sector each, as ranges of file offsets.
private func sectors(of bytes: [UInt8], at offset: Int) -> [Range<Int>] {
  let sector = SimulatedState.sectorBytes
  var pieces: [Range<Int>] = []
  var start = offset
  while start < offset + bytes.count {
    let end = min((start / sector + 1) * sector, offset + bytes.count)
    pieces.append(start..<end)
    start = end
  }
  return pieces
}

extension SimulatedState {
  fileprivate mutating func crash(_ choice: inout CrashChoice) {
    for index in inodes.indices { crashInode(index, &choice) }
    for change in pendingNames where choice.keepsNext() {
      for (path, node) in change.names { durableNames[path] = node }
    }
    pendingNames = []
    // A name in a directory that was lost is lost with it.
    names = durableNames.filter { path, _ in
      var directory = parentDirectory(of: path)
      while directory != "/" {
        if durableNames[directory] != .directory { return false }
        directory = parentDirectory(of: directory)
      }
      return true
    }
    durableNames = names
    locks = []
    generation += 1
    faults.isOff = false
    faults.powerOffAt = nil
    faults.scheduled = [:]
    faults.chance = nil
  }

  private mutating func crashInode(_ index: Int, _ choice: inout CrashChoice) {
    for change in inodes[index].pending {
      switch change.kind {
      case .truncate:
        if choice.keepsNext() { apply(change.kind, to: &inodes[index].durable) }
      case .write(let bytes, let offset):
        if choice.sharesFate() {
          if choice.keepsNext() { apply(change.kind, to: &inodes[index].durable) }
          continue
        }
        for piece in sectors(of: bytes, at: offset) where choice.keepsNext() {
          let kept = Array(bytes[(piece.lowerBound - offset)..<(piece.upperBound - offset)])
          apply(.write(kept, at: piece.lowerBound), to: &inodes[index].durable)
        }
      }
    }
    inodes[index].pending = []
    inodes[index].current = inodes[index].durable
  }
}
