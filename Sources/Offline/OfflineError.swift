public import Disk
internal import Model
public import Node
public import Snapshot
public import Store
public import WriteAheadLog

/// Why an offline operation did not do what was asked. Nothing was changed, unless the case says otherwise.
public enum OfflineError: Error, Sendable, CustomStringConvertible {
  case directory(DataDirectoryError)
  case disk(DiskError)
  case store(StoreError)
  case log(LogError)
  case node(NodeError)
  case snapshot(SnapshotError)
  case export(SnapshotExportError)
  /// A database of etcd (bbolt), where a snapshot of Cairn was expected.
  case etcdFile(String)
  /// A pipe, device or directory.
  case notRegularFile(String)
  case dataDirectoryNotEmpty(String)
  case logDirectoryExists(String)
  case fileExists(String)
  /// The member was created and never wrote anything.
  case emptyMember(String)
  /// What the caller asked for does not go together; the text is etcd's where etcd has one.
  case invalid(String)
  /// A snapshot's tables are not those of a store.
  case unknownTable(file: String, table: String)

  public var description: String {
    switch self {
    case .directory(let error): error.description
    case .disk(let error): error.description
    case .store(let error): error.description
    case .log(let error): error.description
    case .node(let error): error.description
    case .snapshot(let error): error.description
    case .export(let error): error.description
    case .etcdFile(let path):
      "\(path) is a database or snapshot of etcd (bbolt), which cairn does not read: use etcdutl for it"
    case .notRegularFile(let path): "\(path) is not a regular file"
    case .dataDirectoryNotEmpty(let path):
      "data-dir \(GoValueSyntax.quoted(path)) not empty or could not be read"
    case .logDirectoryExists(let path): "wal-dir \(GoValueSyntax.quoted(path)) exists"
    case .fileExists(let path): "\(path) exists; nothing was written"
    case .emptyMember(let path): "\(path) holds a member that has not written anything yet"
    case .invalid(let text): text
    case .unknownTable(let file, let table):
      "snapshot \(file) has a table \(GoValueSyntax.quoted(table)), which this version of Cairn does not know"
    }
  }
}

func onDisk<Result>(_ step: () throws(DiskError) -> Result) throws(OfflineError) -> Result {
  do throws(DiskError) { return try step() } catch { throw .disk(error) }
}

func onStore<Result>(_ step: () throws(StoreError) -> Result) throws(OfflineError) -> Result {
  do throws(StoreError) { return try step() } catch { throw .store(error) }
}

func onLog<Result>(_ step: () throws(LogError) -> Result) throws(OfflineError) -> Result {
  do throws(LogError) { return try step() } catch { throw .log(error) }
}

func onSnapshot<Result>(_ step: () throws(SnapshotError) -> Result) throws(OfflineError) -> Result {
  do throws(SnapshotError) { return try step() } catch { throw .snapshot(error) }
}
