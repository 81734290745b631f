import Model
import Raft

// Messages and the like as etcd-io/raft prints them.

func describe(_ ready: RaftReady) -> String {
  var text = ""
  if let state = ready.leadership { text += "Lead:\(state.leader) State:\(state.role.name)\n" }
  if let state = ready.hardState { text += "HardState \(describe(state))\n" }
  if !ready.readStates.isEmpty {
    text += "ReadStates \(ready.readStates.map { "\($0.index) for \($0.context)" })\n"
  }
  if !ready.entries.isEmpty { text += "Entries:\n" + describe(ready.entries) }
  if let snapshot = ready.snapshot { text += "Snapshot \(describe(snapshot))\n" }
  if !ready.committed.isEmpty { text += "CommittedEntries:\n" + describe(ready.committed) }
  var messages = ready.messages.map { describe($0) }
  for local in [ready.append, ready.apply] {
    if let local { messages.append(describe(local.message, responses: local.responses)) }
  }
  if !messages.isEmpty { text += "Messages:\n" + messages.joined(separator: "\n") + "\n" }
  return text.isEmpty ? "<empty Ready>" : "Ready MustSync=\(ready.mustSync):\n" + text
}

func describe(_ state: HardState) -> String {
  "Term:\(state.term)" + (state.vote == 0 ? "" : " Vote:\(state.vote)") + " Commit:\(state.commit)"
}

func describe(_ snapshot: SnapshotMetadata) -> String {
  func list(_ ids: [UInt64]) -> String { "[" + ids.map { "\($0)" }.joined(separator: " ") + "]" }
  let state = snapshot.confState
  let voters = "Voters:\(list(state.voters)) VotersOutgoing:\(list(state.votersOutgoing))"
  let learners = "Learners:\(list(state.learners)) LearnersNext:\(list(state.learnersNext))"
  return
    "Index:\(snapshot.index) Term:\(snapshot.term) ConfState:\(voters) \(learners) AutoLeave:\(state.autoLeave)"
}

func describe(_ message: Message, responses: [Message] = [], indent: String = "") -> String {
  var text = "\(indent)\(target(message.from))->\(target(message.to)) \(message.kind.name) "
  text += "Term:\(message.term) Log:\(message.logTerm)/\(message.index)"
  if message.reject { text += " Rejected (Hint: \(message.rejectHint))" }
  if message.commit != 0 { text += " Commit:\(message.commit)" }
  if message.vote != 0 { text += " Vote:\(message.vote)" }
  if message.entries.count == 1 {
    text += " Entries:[\(describe(message.entries[0]))]"
  } else if !message.entries.isEmpty {
    text += " Entries:[" + message.entries.map { "\n\(indent)  \(describe($0))" }.joined() + "\n\(indent)]"
  }
  if let snapshot = message.snapshot, snapshot.index != 0 {
    text += "\n\(indent)  Snapshot: \(describe(snapshot))"
  }
  if !responses.isEmpty {
    text += " Responses:[" + responses.map { "\n" + describe($0, indent: indent + "  ") }.joined()
    text += "\n\(indent)]"
  }
  return text
}

private func target(_ id: UInt64) -> String {
  switch id {
  case 0: "None"
  case LocalStage.append: "AppendThread"
  case LocalStage.apply: "ApplyThread"
  default: String(id, radix: 16)
  }
}

/// A line for each.
func describe(_ entries: [Entry]) -> String { entries.map { describe($0) + "\n" }.joined() }

func describe(_ entry: Entry) -> String {
  let place = "\(entry.term)/\(entry.index)"
  switch entry.kind {
  case .normal: return "\(place) EntryNormal \(quoted(entry.data))"
  case .confChange:
    let change = try? ConfChange(decoding: entry.data)
    return "\(place) EntryConfChange" + describe(change?.asV2.changes)
  case .confChangeV2:
    let change = try? ConfChangeV2(decoding: entry.data)
    return "\(place) EntryConfChangeV2" + describe(change?.changes)
  }
}

private func describe(_ changes: [ConfChangeSingle]?) -> String {
  guard let changes else { return " undecodable" }
  return changes.map { change in
    switch change.kind {
    case .addNode: " v\(change.nodeID)"
    case .addLearnerNode: " l\(change.nodeID)"
    case .removeNode: " r\(change.nodeID)"
    case .updateNode: " u\(change.nodeID)"
    }
  }.joined()
}

private func quoted(_ bytes: [UInt8]) -> String {
  var text = "\""
  for byte in bytes {
    switch byte {
    case UInt8(ascii: "\""): text += "\\\""
    case UInt8(ascii: "\\"): text += "\\\\"
    case 0x20..<0x7f: text.unicodeScalars.append(Unicode.Scalar(byte))
    default: text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
  }
  return text + "\""
}

extension Leadership.Role {
  var name: String {
    switch self {
    case .follower: "StateFollower"
    case .preCandidate: "StatePreCandidate"
    case .candidate: "StateCandidate"
    case .leader: "StateLeader"
    }
  }
}
