/// The versions this server goes by.
public enum Version {
  /// Cairn's own.
  public static let cairn = "0.1.0"
  /// The etcd release whose interface is served; Status and /version report it.
  public static let api = "3.7.1"
  /// The cluster version and the storage version that go with `api`.
  public static let cluster = "3.7.0"

  /// What `--version` prints: Cairn's line, then etcd's four, which tools parse by their names.
  public static let text = """
    cairn Version: \(cairn)
    etcd Version: \(api)
    Git SHA: none
    Go Version: none (Swift \(compiler))
    Go OS/Arch: \(platform)

    """

  /// The language version this was compiled with.
  public static var compiler: String {
    #if compiler(>=6.4)
      "6.4 or later"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }

  /// In Go's words, which are those of container images and packages.
  public static var platform: String {
    #if os(Linux)
      let system = "linux"
    #else
      let system = "unknown"
    #endif
    #if arch(x86_64)
      return "\(system)/amd64"
    #elseif arch(arm64)
      return "\(system)/arm64"
    #else
      return "\(system)/unknown"
    #endif
  }
}
