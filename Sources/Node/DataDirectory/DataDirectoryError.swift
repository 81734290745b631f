public import Disk

/// Why a data directory cannot be used. Nothing in it was changed.
public enum DataDirectoryError: Error, Equatable, Sendable, CustomStringConvertible {
  case inUse(String)
  /// No member was ever created here.
  case missing(String)
  case etcdData(String)
  case foreign(String)
  case memberAndProxy(String)
  case unknownFormat(String, found: UInt64, known: UInt64)
  case damagedPointer(String)
  case disk(DiskError)

  public var description: String {
    switch self {
    case .inUse(let path): "\(path) is in use by another process"
    case .missing(let path): "\(path) holds no member"
    case .etcdData(let path):
      "\(path) holds the data of an etcd member (bbolt), which cairn does not open: take a snapshot of it with "
        + "etcdctl and start with an empty directory"
    case .foreign(let path): "\(path) holds files that are not this member's; nothing was touched"
    case .memberAndProxy(let path): "invalid datadir; both member and proxy directories exist in \(path)"
    case .unknownFormat(let path, let found, let known):
      "\(path): data format \(found) is not known to this version of cairn, which knows format \(known)"
    case .damagedPointer(let path):
      "\(path) is damaged: its checksum does not match; the store it named is untouched"
    case .disk(let error): error.description
    }
  }
}
