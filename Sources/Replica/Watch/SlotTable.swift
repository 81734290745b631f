/// Slots of records, found by a hash of what the record is known by; the owner compares. Open addressing with linear
/// probing, eight bytes an entry. It cannot be iterated, so no decision hangs on where entries lie.
struct SlotTable {
  private struct Entry {
    var hash: UInt32
    var slot: UInt32
  }

  private var entries = [Entry](repeating: Entry(hash: 0, slot: noSlot), count: 16)
  private(set) var count = 0

  /// A walk over the slots filed under one hash.
  struct Probe {
    fileprivate let hash: UInt32
    fileprivate var position: Int
  }

  func probe(_ hash: UInt64) -> Probe {
    let folded = Self.fold(hash)
    return Probe(hash: folded, position: Int(folded) & (entries.count - 1))
  }

  /// The next slot whose hash agrees; it may still be another record's.
  func next(_ probe: inout Probe) -> UInt32? {
    while true {
      let entry = entries[probe.position]
      if entry.slot == noSlot { return nil }
      probe.position = (probe.position + 1) & (entries.count - 1)
      if entry.hash == probe.hash { return entry.slot }
    }
  }

  mutating func insert(_ slot: UInt32, hash: UInt64) {
    if (count + 1) * 4 > entries.count * 3 { grow() }
    place(Entry(hash: Self.fold(hash), slot: slot))
    count += 1
  }

  mutating func remove(_ slot: UInt32, hash: UInt64) {
    let mask = entries.count - 1
    var gap = Int(Self.fold(hash)) & mask
    while entries[gap].slot != slot {
      precondition(entries[gap].slot != noSlot, "the slot was inserted under this hash")
      gap = (gap + 1) & mask
    }
    count -= 1
    // Entries behind the gap that were displaced over it move back, or they could not be found any more.
    var next = (gap + 1) & mask
    while entries[next].slot != noSlot {
      let displacement = (next - Int(entries[next].hash)) & mask
      if displacement >= (next - gap) & mask {
        entries[gap] = entries[next]
        gap = next
      }
      next = (next + 1) & mask
    }
    entries[gap].slot = noSlot
  }

  private mutating func place(_ entry: Entry) {
    var position = Int(entry.hash) & (entries.count - 1)
    while entries[position].slot != noSlot { position = (position + 1) & (entries.count - 1) }
    entries[position] = entry
  }

  private mutating func grow() {
    let old = entries
    entries = [Entry](repeating: Entry(hash: 0, slot: noSlot), count: old.count * 2)
    for entry in old where entry.slot != noSlot { place(entry) }
  }

  private static func fold(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash ^ (hash >> 32)) }
}

/// No record.
let noSlot = UInt32.max

/// A keyed hash of byte strings: a client that does not know the seed cannot choose keys that collide. Words are
/// folded through a 128-bit product, as in wyhash.
struct KeyHash {
  private let seed: UInt64

  init(seed: UInt64) { self.seed = seed }

  func callAsFunction(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let count = bytes.count
    var state = seed ^ (UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15)
    var position = 0
    while position + 8 <= count {
      let word = unsafe bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
      state = Self.fold(state ^ word, 0xa076_1d64_78bd_642f)
      position += 8
    }
    var rest: UInt64 = 0
    while position < count {
      rest <<= 8
      rest |= unsafe UInt64(bytes[position])
      position += 1
    }
    return Self.fold(state ^ rest, seed ^ 0xe703_7ed1_a0b4_28db)
  }

  func callAsFunction(_ bytes: [UInt8]) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe self($0) }
  }

  /// Of two numbers.
  func callAsFunction(_ a: UInt64, _ b: UInt64) -> UInt64 {
    Self.fold(Self.fold(a ^ seed, 0xa076_1d64_78bd_642f) ^ b, seed ^ 0xe703_7ed1_a0b4_28db)
  }

  private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }
}
