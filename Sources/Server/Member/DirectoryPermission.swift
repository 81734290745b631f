internal import Glibc
internal import Model

/// Who can look into a data directory.
public enum DirectoryPermission {
  /// etcd's warning for a directory that others than its owner can enter; a directory that this process made has
  /// 0700. Asks the system itself: permissions are no part of what a simulated disk models.
  public static func warnings(_ path: String) -> [LogRecord] {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & 0o077 != 0 else { return [] }
    let error =
      "directory \(GoValueSyntax.quoted(path)) exist, but the permission is "
      + "\(GoValueSyntax.quoted(text(status.st_mode))). The recommended permission is \"-rwx------\" to "
      + "prevent possible unprivileged access to the data"
    return [LogRecord(.warn, "check file permission", ["error": .text(error)])]
  }

  private static func text(_ mode: mode_t) -> String {
    let letters = Array("rwxrwxrwx")
    let bits = (0..<9).map { mode & (0o400 >> mode_t($0)) != 0 ? String(letters[$0]) : "-" }
    return "d" + bits.joined()
  }
}
