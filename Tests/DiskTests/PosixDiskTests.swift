import Disk
import Foundation
import Testing

/// The contract of `Disk` on real files, and what only real files have.
@Suite("Posix disk")
struct PosixDiskTests {
  /// A directory of its own for each test.
  private func withDirectory(_ body: (PosixDisk, String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "cairn-disk-\(UUID().uuidString)"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let disk = PosixDisk()
    try disk.createDirectory(path)
    try body(disk, path)
  }

  @Test("files are 0600 and directories 0700")
  func permissions() throws {
    try withDirectory { disk, path in
      _ = try disk.open("\(path)/file", .create)
      try disk.createDirectory("\(path)/directory")
      let lock = try disk.lock("\(path)/lock")
      defer { lock.release() }
      for (name, expected) in [("file", 0o600), ("directory", 0o700), ("lock", 0o600)] {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
        #expect(attributes[.posixPermissions] as? Int == expected, "\(name)")
      }
    }
  }

  @Test("write, read, truncate, preallocate, reopen")
  func bytes() throws {
    try withDirectory { disk, path in
      let file = try disk.open("\(path)/file", .create)
      try file.write([1, 2, 3], at: 2)
      #expect(try file.size() == 5)
      try file.preallocate(to: 3_000_000)
      try file.preallocate(to: 10)
      #expect(try file.size() == 3_000_000)
      try file.truncate(to: 4)
      try file.syncData()
      #expect(try disk.readAll("\(path)/file", limit: 100) == [0, 0, 1, 2])
      #expect(throws: DiskError(.read, "\(path)/file", .fileTooLarge)) {
        try disk.readAll("\(path)/file", limit: 3)
      }
      try disk.rename("\(path)/file", to: "\(path)/other")
      try file.write([9], at: 0)
      #expect(try disk.readAll("\(path)/other", limit: 4).first == 9, "a handle follows its file")
      file.close()
      #expect(throws: DiskError(.write, "\(path)/file", .badHandle)) { try file.write([1], at: 0) }
      let reading = try disk.open("\(path)/other", .read)
      #expect(throws: DiskError(.write, "\(path)/other", .badHandle)) { try reading.write([1], at: 0) }
    }
  }

  @Test("names: list, exists, remove, and errors that name path and cause")
  func names() throws {
    try withDirectory { disk, path in
      for name in ["b", "a", "é", "c"] { _ = try disk.open("\(path)/\(name)", .create) }
      #expect(try disk.list(path) == ["a", "b", "c", "é"])
      #expect(try disk.exists("\(path)/a") && !disk.exists("\(path)/z"))
      #expect(throws: DiskError(.create, "\(path)/a", .exists)) { try disk.open("\(path)/a", .create) }
      #expect(throws: DiskError(.open, "\(path)/z", .notFound)) { try disk.open("\(path)/z", .read) }
      #expect(throws: DiskError(.remove, "\(path)/z", .notFound)) { try disk.remove("\(path)/z") }
      #expect(throws: DiskError(.createDirectory, "\(path)/a", .exists)) {
        try disk.createDirectory("\(path)/a")
      }
      try disk.createDirectory(path)
      try disk.remove("\(path)/a")
      try disk.syncDirectory(path)
      #expect(try disk.list(path) == ["b", "c", "é"])
      try disk.createDirectories("\(path)/x/y/z")
      #expect(throws: DiskError(.removeDirectory, "\(path)/x", .notEmpty)) {
        try disk.removeDirectory("\(path)/x")
      }
      try disk.removeDirectory("\(path)/x/y/z")
      #expect(try disk.list("\(path)/x/y").isEmpty)
      let text = "\(DiskError(.open, "/p", .notFound))"
      #expect(text == "open /p: No such file or directory")
    }
  }

  @Test("a lock excludes a second taker until it is released or forgotten")
  func lock() throws {
    try withDirectory { disk, path in
      let first = try disk.lock("\(path)/lock")
      #expect(throws: DiskError(.lock, "\(path)/lock", .locked)) { try disk.lock("\(path)/lock") }
      first.release()
      first.release()
      do {
        let second = try disk.lock("\(path)/lock")
        withExtendedLifetime(second) {}
      }
      try disk.lock("\(path)/lock").release()
    }
  }

  @Test("a full disk says so")
  func fullDisk() throws {
    let file = try PosixDisk().open("/dev/full", .readWrite)
    #expect(throws: DiskError(.write, "/dev/full", .noSpace)) { try file.write([1], at: 0) }
  }
}
