internal import CPrimitives
internal import Synchronization

/// Spare blocks of one size, shared by a store's generations: memory that was touched before costs no page
/// faults.
final class BlockPool: Sendable {
  let blockBytes: Int
  private let blocksMax: Int
  private let blocks = Mutex<[UInt]>([])

  init(blockBytes: Int, blocksMax: Int) {
    self.blockBytes = blockBytes
    self.blocksMax = blocksMax
  }

  deinit {
    blocks.withLock { blocks in
      for block in blocks {
        if let address = UnsafeMutableRawPointer(bitPattern: block) { cairn_unmap(address, blockBytes) }
      }
    }
  }

  func take() -> UnsafeMutableRawPointer? {
    blocks.withLock { blocks in blocks.popLast() }.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
  }

  func giveBack(_ block: UnsafeMutableRawPointer) {
    let kept = blocks.withLock { blocks in
      guard blocks.count < blocksMax else { return false }
      blocks.append(UInt(bitPattern: block))
      return true
    }
    if !kept { cairn_unmap(block, blockBytes) }
  }
}

/// Bump-allocated memory of one generation, given back as a whole. Beyond `memoryBytesMax` the blocks are
/// mappings of an unlinked file that was allocated on disk first: one huge command does not grow anonymous
/// memory, and a full disk is an error here instead of a SIGBUS later.
///
/// One writer; readers reach memory only through pointers that the writer published.
struct Arena: ~Copyable {
  private struct Block {
    var address: UnsafeMutableRawPointer
    var length: Int
    var isPooled: Bool
  }

  private let pool: BlockPool
  private let memoryBytesMax: Int
  private let spillPath: String
  private var blocks: [Block] = []
  private var cursor: UnsafeMutableRawPointer?
  private var room = 0
  private var memoryBytes = 0
  private var spillDescriptor: Int32 = -1
  private(set) var spillBytes = 0
  /// Bytes handed out.
  private(set) var usedBytes = 0

  init(pool: BlockPool, memoryBytesMax: Int, spillPath: String) {
    self.pool = pool
    self.memoryBytesMax = memoryBytesMax
    self.spillPath = spillPath
  }

  deinit {
    for block in blocks {
      if block.isPooled { pool.giveBack(block.address) } else { cairn_unmap(block.address, block.length) }
    }
    if spillDescriptor >= 0 { cairn_file_close(spillDescriptor) }
  }

  /// `count` bytes, aligned to 8, with undefined contents.
  mutating func allocate(_ count: Int) throws(StoreError) -> UnsafeMutableRawPointer {
    let size = (count + 7) & ~7
    usedBytes += size
    if let address = cursor, size <= room {
      cursor = address + size
      room -= size
      return address
    }
    return try allocateInNewBlock(size)
  }

  private mutating func allocateInNewBlock(_ size: Int) throws(StoreError) -> UnsafeMutableRawPointer {
    // A large piece gets a block of its own, so that the rest of the current block is not lost.
    let isLarge = size > pool.blockBytes / 4
    let length = isLarge ? (size + 4095) & ~4095 : pool.blockBytes
    let address: UnsafeMutableRawPointer
    if memoryBytes + length > memoryBytesMax {
      address = try spillBlock(length)
    } else if !isLarge, let pooled = pool.take() {
      address = pooled
      blocks.append(Block(address: pooled, length: length, isPooled: true))
      memoryBytes += length
    } else {
      var error: Int32 = 0
      guard let mapped = cairn_map(-1, 0, length, &error) else {
        throw StoreError.file(spillPath, operation: "mmap", errno: error)
      }
      address = mapped
      blocks.append(Block(address: mapped, length: length, isPooled: !isLarge))
      memoryBytes += length
    }
    if !isLarge {
      cursor = address + size
      room = length - size
    }
    return address
  }

  private mutating func spillBlock(_ length: Int) throws(StoreError) -> UnsafeMutableRawPointer {
    if spillDescriptor < 0 {
      let descriptor = cairn_file_unlinked(spillPath)
      guard descriptor >= 0 else {
        throw StoreError.file(spillPath, operation: "mkstemp", errno: -descriptor)
      }
      spillDescriptor = descriptor
    }
    let status = cairn_file_allocate(spillDescriptor, Int64(spillBytes), Int64(length))
    guard status == 0 else {
      if status == 28 || status == 122 {  // ENOSPC, EDQUOT
        throw StoreError.noSpace(file: spillPath, operation: "fallocate of the spill file")
      }
      throw StoreError.file(spillPath, operation: "fallocate", errno: status)
    }
    var error: Int32 = 0
    guard let mapped = cairn_map(spillDescriptor, Int64(spillBytes), length, &error) else {
      throw StoreError.file(spillPath, operation: "mmap", errno: error)
    }
    spillBytes += length
    blocks.append(Block(address: mapped, length: length, isPooled: false))
    return mapped
  }
}
