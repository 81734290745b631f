import Disk
import Foundation
import Node
import Server
import Testing

@Suite struct DataDirectoryTests {
  /// A fresh path that is removed at the end.
  func withTemporaryPath(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "/cairn-data-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  func mode(_ path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return try #require(attributes[.posixPermissions] as? NSNumber).intValue
  }

  func write(_ text: String, _ path: String) throws {
    let url = URL(fileURLWithPath: path)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
  }

  @Test func `a new directory is private, complete and opens again`() throws {
    try withTemporaryPath { path in
      let first = try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      #expect(first.isNew)
      #expect(first.found.isEmpty)
      #expect(first.storePath == "\(path)/member/store/0000000000000001.mdb")
      #expect(first.walPath == "\(path)/member/wal")
      for name in ["", "/member", "/member/wal", "/member/store", "/member/snap"] {
        #expect(try mode(path + name) == 0o700)
      }
      #expect(
        try String(contentsOfFile: "\(path)/member/CURRENT", encoding: .utf8)
          == "cairn-data 1\nstore 0000000000000001\ncrc32c dc6bb7cc\n")
      first.close()
      let second = try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      #expect(!second.isNew)
      #expect(second.storePath == first.storePath)
      second.close()
    }
  }

  @Test func `a second user is refused`() throws {
    try withTemporaryPath { path in
      let first = try DataDirectory.open("\(path)/a", walPath: nil, disk: PosixDisk())
      #expect(throws: DataDirectoryError.inUse("\(path)/a/member")) {
        try DataDirectory.open("\(path)/a", walPath: nil, disk: PosixDisk())
      }
      first.close()
      try DataDirectory.open("\(path)/a", walPath: nil, disk: PosixDisk()).close()
    }
  }

  @Test func `a directory for the log is private, and must not hold another's log`() throws {
    try withTemporaryPath { path in
      let first = try DataDirectory.open("\(path)/a", walPath: "\(path)/wal", disk: PosixDisk())
      #expect(first.walPath == "\(path)/wal")
      #expect(try mode("\(path)/wal") == 0o700)
      first.close()
      try write("x", "\(path)/wal/0000000000000001-0000000000000001.wal")
      try DataDirectory.open("\(path)/a", walPath: "\(path)/wal", disk: PosixDisk()).close()
      #expect(throws: DataDirectoryError.foreign("\(path)/wal")) {
        try DataDirectory.open("\(path)/b", walPath: "\(path)/wal", disk: PosixDisk())
      }
    }
  }

  @Test func `wide permissions are warned of in etcd's words`() throws {
    try withTemporaryPath { path in
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
      let directory = try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      defer { directory.close() }
      #expect(
        directory.found.flatMap(DirectoryPermission.warnings) == [
          LogRecord(
            .warn, "check file permission",
            [
              "error": .text(
                "directory \"\(path)\" exist, but the permission is \"drwxr-xr-x\". The recommended permission is "
                  + "\"-rwx------\" to prevent possible unprivileged access to the data")
            ])
        ])
    }
  }

  @Test(arguments: ["member/snap/db", "member/wal/0000000000000000-0000000000000000.wal"])
  func `etcd's data is refused by name and left alone`(_ file: String) throws {
    try withTemporaryPath { path in
      try write("x", "\(path)/\(file)")
      let error = #expect(throws: DataDirectoryError.self) {
        try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      }
      #expect(error?.description.contains("etcd member") == true)
      #expect(!FileManager.default.fileExists(atPath: "\(path)/member/CURRENT"))
    }
  }

  @Test(arguments: ["member/notes.txt", "member/store/data.mdb", "member/snap/x"])
  func `foreign files are refused`(_ file: String) throws {
    try withTemporaryPath { path in
      try write("x", "\(path)/\(file)")
      #expect(throws: DataDirectoryError.self) {
        try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      }
      #expect(try String(contentsOfFile: "\(path)/\(file)", encoding: .utf8) == "x")
    }
  }

  @Test func `member and proxy together are refused`() throws {
    try withTemporaryPath { path in
      try write("x", "\(path)/proxy/x")
      try write("x", "\(path)/member/LOCK")
      #expect(throws: DataDirectoryError.memberAndProxy(path)) {
        try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      }
    }
  }

  @Test func `a creation that a crash cut short goes on`() throws {
    try withTemporaryPath { path in
      try write("", "\(path)/member/LOCK")
      try write("cairn-da", "\(path)/member/CURRENT.new")
      try FileManager.default.createDirectory(
        atPath: "\(path)/member/wal", withIntermediateDirectories: false)
      let directory = try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      #expect(directory.isNew)
      #expect(!FileManager.default.fileExists(atPath: "\(path)/member/CURRENT.new"))
      directory.close()
    }
  }

  @Test func `stores that the pointer does not name are removed, the named one never`() throws {
    try withTemporaryPath { path in
      try DataDirectory.open(path, walPath: nil, disk: PosixDisk()).close()
      for name in ["0000000000000001.mdb", "0000000000000001.mdb-lock", "0000000000000002.mdb"] {
        try write("x", "\(path)/member/store/\(name)")
      }
      try DataDirectory.open(path, walPath: nil, disk: PosixDisk()).close()
      let left = try FileManager.default.contentsOfDirectory(atPath: "\(path)/member/store").sorted()
      #expect(left == ["0000000000000001.mdb", "0000000000000001.mdb-lock"])
    }
  }

  @Test func `a later format is refused by name`() throws {
    try withTemporaryPath { path in
      try DataDirectory.open(path, walPath: nil, disk: PosixDisk()).close()
      try write("cairn-data 2\nnew things\ncrc32c 59af3896\n", "\(path)/member/CURRENT")
      #expect(throws: DataDirectoryError.unknownFormat("\(path)/member/CURRENT", found: 2, known: 1)) {
        try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
      }
    }
  }

  @Test func `any flipped bit of the pointer is found`() throws {
    try withTemporaryPath { path in
      try DataDirectory.open(path, walPath: nil, disk: PosixDisk()).close()
      let file = "\(path)/member/CURRENT"
      let good = try Data(contentsOf: URL(fileURLWithPath: file))
      for position in 0..<(good.count * 8) {
        var bad = good
        bad[position / 8] ^= 1 << (position % 8)
        try bad.write(to: URL(fileURLWithPath: file))
        #expect(throws: DataDirectoryError.damagedPointer(file)) {
          try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
        }
      }
      for length in 0..<good.count {
        try good.prefix(length).write(to: URL(fileURLWithPath: file))
        #expect(throws: DataDirectoryError.damagedPointer(file)) {
          try DataDirectory.open(path, walPath: nil, disk: PosixDisk())
        }
      }
    }
  }
}
