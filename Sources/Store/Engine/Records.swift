internal import CPrimitives
internal import Model

/// One version of a key in a generation's memory: this header, then the KeyValue bytes. Nothing in it changes
/// after it was published.
struct VersionHeader {
  /// The key's record before this one, if it is in the same generation.
  var older: UnsafeMutableRawPointer?
  /// The record that `jump` names, if it is in the same generation.
  var jumpRecord: UnsafeMutableRawPointer?
  /// The skip node of the key.
  var node: UnsafeMutableRawPointer
  var main: Int64
  var create: Int64
  var version: Int64
  var lease: Int64
  var previousMain: Int64
  var jumpMain: Int64
  var sub: UInt32
  var previousSub: UInt32
  var jumpSub: UInt32
  var depth: UInt32
  var isTombstone: UInt32
  var keyValueCount: UInt32
  var keyValueChecksum: UInt32
}

struct VersionRecord {
  let address: UnsafeMutableRawPointer

  static let headerBytes = MemoryLayout<VersionHeader>.size

  @inline(__always) var header: UnsafePointer<VersionHeader> {
    UnsafePointer(address.assumingMemoryBound(to: VersionHeader.self))
  }
  @inline(__always) var main: Int64 { header.pointee.main }
  @inline(__always) var isTombstone: Bool { header.pointee.isTombstone != 0 }
  @inline(__always) var revision: Revision {
    Revision(main: header.pointee.main, sub: Int64(header.pointee.sub))
  }
  @inline(__always) var key: UnsafeRawBufferPointer { SkipNode(address: header.pointee.node).key }
  @inline(__always) var keyValue: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: address + Self.headerBytes, count: Int(header.pointee.keyValueCount))
  }
  @inline(__always) var version: RowVersion {
    RowVersion(
      mod: revision, create: header.pointee.create, version: header.pointee.version,
      lease: header.pointee.lease, isTombstone: isTombstone)
  }
  var pointers: RowPointers {
    let header = header.pointee
    return RowPointers(
      previous: Revision(main: header.previousMain, sub: Int64(header.previousSub)),
      jump: Revision(main: header.jumpMain, sub: Int64(header.jumpSub)), depth: header.depth)
  }
  @inline(__always) var row: Row { Row(version: version, key: key, keyValue: keyValue) }

  /// The newest record of a chain with main <= `limit`.
  @inline(__always)
  static func visible(_ head: UnsafeMutableRawPointer?, limit: Int64) -> VersionRecord? {
    var current = head
    while let address = current {
      let record = VersionRecord(address: address)
      if record.main <= limit { return record }
      if let jump = record.header.pointee.jumpRecord, VersionRecord(address: jump).main > limit {
        current = jump
      } else {
        current = record.header.pointee.older
      }
    }
    return nil
  }
}

/// One change of a row of another table: this header, then the payload.
struct ChangeHeader {
  var older: UnsafeMutableRawPointer?
  /// The entry that made the change, counted since the store was opened.
  var sequence: UInt64
  var isDeletion: UInt32
  var count: UInt32
}

struct ChangeRecord {
  let address: UnsafeMutableRawPointer

  static let headerBytes = MemoryLayout<ChangeHeader>.size

  var header: UnsafePointer<ChangeHeader> {
    UnsafePointer(address.assumingMemoryBound(to: ChangeHeader.self))
  }
  var isDeletion: Bool { header.pointee.isDeletion != 0 }
  var payload: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: address + Self.headerBytes, count: Int(header.pointee.count))
  }

  /// The newest change of a chain made by entries up to `sequence`.
  static func visible(_ head: UnsafeMutableRawPointer?, sequence: UInt64) -> ChangeRecord? {
    var current = head
    while let address = current {
      let record = ChangeRecord(address: address)
      if record.header.pointee.sequence <= sequence { return record }
      current = record.header.pointee.older
    }
    return nil
  }
}

/// A generation's records in revision order: chunks of doubling size, so that what a reader found never
/// moves. One writer, which keeps the count; readers use as many as a published boundary names.
struct RevisionList {
  private static let firstChunkBits = 8
  private static let chunksMax = 40
  private let directory: UnsafeMutableRawPointer

  init(in arena: inout Arena) throws(StoreError) {
    directory = try arena.allocate(8 * Self.chunksMax)
    directory.initializeMemory(as: UInt8.self, repeating: 0, count: 8 * Self.chunksMax)
  }

  private static func place(_ index: Int) -> (chunk: Int, offset: Int) {
    let shifted = (index >> firstChunkBits) + 1
    let chunk = Int.bitWidth - 1 - shifted.leadingZeroBitCount
    return (chunk, index - (((1 << chunk) - 1) << firstChunkBits))
  }

  subscript(index: Int) -> VersionRecord {
    let place = Self.place(index)
    guard let chunk = cairn_load_pointer(directory + 8 * place.chunk),
      let record = cairn_load_pointer(chunk + 8 * place.offset)
    else { preconditionFailure("a revision beyond the published ones") }
    return VersionRecord(address: record)
  }

  /// Stores the record number `index`, one above the last.
  func set(_ index: Int, _ record: VersionRecord, in arena: inout Arena) throws(StoreError) {
    let place = Self.place(index)
    var chunk = cairn_load_pointer(directory + 8 * place.chunk)
    if chunk == nil {
      chunk = try arena.allocate(8 << (Self.firstChunkBits + place.chunk))
      cairn_store_pointer(directory + 8 * place.chunk, chunk)
    }
    guard let chunk else { preconditionFailure("the chunk was just made") }
    cairn_store_pointer(chunk + 8 * place.offset, record.address)
  }

  /// The first index of the `count` published ones at or above `revision`.
  func lowerBound(_ revision: Revision, count: Int) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle].revision < revision { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
