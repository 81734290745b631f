internal import Frontend
internal import Model
internal import NIOCore
internal import Synchronization

/// /debug/vars in the form of Go's expvar: the command line, memory, the limit of file descriptors and Raft's state.
struct DebugVariables: Sendable {
  let arguments: [String]
  let memberID: UInt64
  let gauge: MemberGauge

  func page() -> HTTPEndpoints.PageSource {
    { eventLoop in eventLoop.makeSucceededFuture(encoded()) }
  }

  func encoded() -> [UInt8] {
    var text = "{\n\"cmdline\": ["
    for (index, argument) in arguments.enumerated() {
      if index > 0 { text += "," }
      text.appendJSON(argument)
    }
    text += "],\n\"file_descriptor_limit\": \(ProcessFacts.read().descriptorsMax ?? 0)"
    text += ",\n\"memstats\": \(memory())"
    text += ",\n\"raft.status\": \(raftStatus())\n}\n"
    return Array(text.utf8)
  }

  /// The fields of Go's runtime.MemStats that have a meaning here: memory that is no page of a file, and all there is.
  private func memory() -> String {
    let used = ProcessFacts.anonymousBytes() ?? 0
    let resident = UInt64(ProcessFacts.read().residentBytes ?? 0)
    return #"{"Alloc":\#(used),"HeapAlloc":\#(used),"Sys":\#(resident)}"#
  }

  private func raftStatus() -> String {
    let id = hexadecimal(memberID)
    let leader = gauge.leader.load(ordering: .relaxed)
    let leads = gauge.leads.load(ordering: .relaxed)
    let last = gauge.lastIndex.load(ordering: .relaxed)
    // A leader's view of the others is not published; of itself it is this.
    let progress =
      leads
      ? #"{"\#(id)":{"match":\#(last),"next":\#(last + 1),"state":"StateReplicate"}}"# : "{}"
    return """
      {"id":"\(id)","term":\(gauge.raftTerm.load(ordering: .relaxed)),\
      "vote":"\(hexadecimal(gauge.vote.load(ordering: .relaxed)))",\
      "commit":\(gauge.commitIndex.load(ordering: .relaxed)),"lead":"\(hexadecimal(leader))",\
      "raftState":"\(leads ? "StateLeader" : "StateFollower")",\
      "applied":\(gauge.appliedIndex.load(ordering: .relaxed)),"progress":\(progress),"leadtransferee":"0"}
      """
  }

  private func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
}
