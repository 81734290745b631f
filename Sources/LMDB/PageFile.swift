internal import CLMDB
internal import CPrimitives
internal import Synchronization

/// A file that no environment has open, mapped for looking at its pages before LMDB trusts them.
public final class PageFile {
  public let path: String
  private let descriptor: Int32
  private let bytes: UnsafeRawBufferPointer

  /// Nil if there is no such file or it is empty: a new store.
  public static func open(_ path: String) throws(LMDBError) -> PageFile? {
    let descriptor = cairn_file_open(path, 0)
    if descriptor == -LMDBError.notFoundCode { return nil }
    guard descriptor >= 0 else { throw LMDBError(operation: "open", path: path, code: -descriptor) }
    let length = cairn_file_length(descriptor)
    guard length > 0 else {
      cairn_file_close(descriptor)
      if length < 0 { throw LMDBError(operation: "fstat", path: path, code: Int32(-length)) }
      return nil
    }
    var error: Int32 = 0
    guard let address = cairn_map_file(descriptor, Int(length), &error) else {
      cairn_file_close(descriptor)
      throw LMDBError(operation: "mmap", path: path, code: error)
    }
    return PageFile(path, descriptor, UnsafeRawBufferPointer(start: address, count: Int(length)))
  }

  private init(_ path: String, _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) {
    self.path = path
    self.descriptor = descriptor
    self.bytes = bytes
  }

  deinit {
    if let address = bytes.baseAddress {
      cairn_unmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
    }
    cairn_file_close(descriptor)
  }

  /// Has the whole file brought into memory, for whoever is going to read all of it.
  public func readAhead() { cairn_file_will_need(descriptor) }

  /// Reads the last committed state. The reader is of use as long as this object.
  public func reader() throws(PageDamage) -> PageReader { try PageReader(path: path, bytes: bytes) }
}

/// The environment's file, mapped once more for `pageReader`: LMDB does not tell where its own map is.
struct PageMap: ~Copyable {
  private let address: UnsafeRawPointer
  private let count: Int

  init(_ descriptor: Int32, count: Int, path: String) throws(LMDBError) {
    var error: Int32 = 0
    guard let address = cairn_map_file(descriptor, count, &error) else {
      throw LMDBError(operation: "mmap", path: path, code: error)
    }
    self.address = address
    self.count = count
  }

  deinit { cairn_unmap(UnsafeMutableRawPointer(mutating: address), count) }

  func bytes(_ length: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: address, count: min(length, count))
  }
}

extension Environment {
  /// Reads the last committed state by its pages: on the writer's thread between its transactions, and while a
  /// read transaction that began since the last commit keeps the pages from being used again.
  public func pageReader() throws(LMDBError) -> Result<PageReader, PageDamage> {
    let length = Int(try fileBytes())
    let (descriptor, path) = (self.descriptor, self.path)
    var info = MDB_envinfo()
    mdb_env_info(handle, &info)
    let mapBytes = info.me_mapsize
    let bytes = try pageMap.withLock { (map: inout sending PageMap?) throws(LMDBError) in
      if map == nil { map = try PageMap(descriptor, count: mapBytes, path: path) }
      return map?.bytes(length) ?? UnsafeRawBufferPointer(start: nil, count: 0)
    }
    do throws(PageDamage) {
      return .success(try PageReader(path: path, bytes: bytes))
    } catch {
      return .failure(error)
    }
  }
}
