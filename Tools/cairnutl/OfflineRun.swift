import Disk
import Offline

extension GlobalOptions {
  /// Runs an operation with its progress shown; its errors become the tool's.
  func run<Result>(_ body: (@escaping ProgressReport) throws -> Result) throws -> Result {
    let display = ProgressDisplay(isWanted: !quiet)
    defer { display.end() }
    do {
      return try body { display.show($0) }
    } catch let error as OfflineError {
      display.end()
      throw Failure(error)
    }
  }

  /// A member's place whose lock is waited for, for as long as `--timeout` says.
  func place(dataDirectory: String, logDirectory: String?) throws -> MemberPlace {
    let limit = try timeoutMilliseconds()
    let start = Terminal.now()
    var isTold = false
    return MemberPlace(dataDirectory: dataDirectory, logDirectory: logDirectory) {
      let waited = Terminal.now() - start
      if limit > 0, waited >= limit { return false }
      if !isTold, waited >= 1000 {
        isTold = true
        Terminal.error("waiting for the member to stop and release its lock on \(dataDirectory)\n")
      }
      Terminal.pause(milliseconds: 20)
      return true
    }
  }
}

let disk = PosixDisk()
