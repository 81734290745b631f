import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf

// The oracles set every scalar, because Go's raftpb writes them all.

extension Entry: Oracled {
  init(_ oracle: Raftpb_Entry) {
    self.init(
      term: oracle.term, index: oracle.index, kind: Kind(rawValue: oracle.type.raw) ?? .normal,
      data: [UInt8](oracle.data))
  }

  var oracle: Raftpb_Entry {
    .with {
      $0.type = .init(raw: kind.rawValue)
      $0.term = term
      $0.index = index
      if !data.isEmpty { $0.data = Data(data) }
    }
  }

  static func random(_ random: inout RandomValues) -> Entry {
    Entry(
      term: random.uint64(), index: random.uint64(), kind: Kind(rawValue: Int32(random.below(3))) ?? .normal,
      data: random.bytes())
  }
}

extension HardState: Oracled {
  init(_ oracle: Raftpb_HardState) {
    self.init(term: oracle.term, vote: oracle.vote, commit: oracle.commit)
  }

  var oracle: Raftpb_HardState {
    .with {
      $0.term = term
      $0.vote = vote
      $0.commit = commit
    }
  }

  static func random(_ random: inout RandomValues) -> HardState {
    HardState(term: random.uint64(), vote: random.uint64(), commit: random.uint64())
  }
}

extension ConfState: Oracled {
  init(_ oracle: Raftpb_ConfState) {
    self.init(voters: oracle.voters)
    learners = oracle.learners
    votersOutgoing = oracle.votersOutgoing
    learnersNext = oracle.learnersNext
    autoLeave = oracle.autoLeave
  }

  var oracle: Raftpb_ConfState {
    .with {
      $0.voters = voters
      $0.learners = learners
      $0.votersOutgoing = votersOutgoing
      $0.learnersNext = learnersNext
      $0.autoLeave = autoLeave
    }
  }

  static func random(_ random: inout RandomValues) -> ConfState {
    var state = ConfState(voters: random.list(upTo: 5) { $0.uint64() })
    state.learners = random.list(upTo: 2) { $0.uint64() }
    state.votersOutgoing = random.list(upTo: 2) { $0.uint64() }
    state.learnersNext = random.list(upTo: 2) { $0.uint64() }
    state.autoLeave = random.bool()
    return state
  }
}

extension SnapshotMetadata: Oracled {
  init(_ oracle: Raftpb_SnapshotMetadata) {
    self.init(confState: ConfState(oracle.confState), index: oracle.index, term: oracle.term)
  }

  var oracle: Raftpb_SnapshotMetadata {
    .with {
      $0.confState = confState.oracle
      $0.index = index
      $0.term = term
    }
  }

  static func random(_ random: inout RandomValues) -> SnapshotMetadata {
    SnapshotMetadata(confState: ConfState.random(&random), index: random.uint64(), term: random.uint64())
  }
}

extension Model.Message: Oracled {
  init(_ oracle: Raftpb_Message) {
    self.init(
      kind: Kind(rawValue: oracle.type.raw) ?? .hup, to: oracle.to, from: oracle.from, term: oracle.term,
      logTerm: oracle.logTerm, index: oracle.index, entries: oracle.entries.map { Entry($0) },
      commit: oracle.commit, vote: oracle.vote,
      snapshot: oracle.hasSnapshot ? SnapshotMetadata(oracle.snapshot.metadata) : nil, reject: oracle.reject,
      rejectHint: oracle.rejectHint, context: [UInt8](oracle.context))
  }

  var oracle: Raftpb_Message {
    .with {
      $0.type = .init(raw: kind.rawValue)
      $0.to = to
      $0.from = from
      $0.term = term
      $0.logTerm = logTerm
      $0.index = index
      $0.entries = entries.map(\.oracle)
      $0.commit = commit
      $0.vote = vote
      if let snapshot { $0.snapshot.metadata = snapshot.oracle }
      $0.reject = reject
      $0.rejectHint = rejectHint
      if !context.isEmpty { $0.context = Data(context) }
    }
  }

  static func random(_ random: inout RandomValues) -> Model.Message {
    Model.Message(
      kind: Kind.allCases[random.below(Kind.allCases.count)], to: random.uint64(), from: random.uint64(),
      term: random.uint64(), logTerm: random.uint64(), index: random.uint64(),
      entries: random.list(upTo: 4) { Entry.random(&$0) }, commit: random.uint64(), vote: random.uint64(),
      snapshot: random.bool() ? SnapshotMetadata.random(&random) : nil, reject: random.bool(),
      rejectHint: random.uint64(), context: random.bytes())
  }
}

extension ConfChange: Oracled {
  init(_ oracle: Raftpb_ConfChange) {
    self.init(
      id: oracle.id, kind: Kind(rawValue: oracle.type.raw) ?? .addNode, nodeID: oracle.nodeID,
      context: [UInt8](oracle.context))
  }

  var oracle: Raftpb_ConfChange {
    .with {
      $0.id = id
      $0.type = .init(raw: kind.rawValue)
      $0.nodeID = nodeID
      if !context.isEmpty { $0.context = Data(context) }
    }
  }

  static func random(_ random: inout RandomValues) -> ConfChange {
    ConfChange(
      id: random.uint64(), kind: Kind.allCases[random.below(4)], nodeID: random.uint64(),
      context: random.bytes())
  }
}

extension ConfChangeSingle: Oracled {
  init(_ oracle: Raftpb_ConfChangeSingle) {
    self.init(kind: ConfChange.Kind(rawValue: oracle.type.raw) ?? .addNode, nodeID: oracle.nodeID)
  }

  var oracle: Raftpb_ConfChangeSingle {
    .with {
      $0.type = .init(raw: kind.rawValue)
      $0.nodeID = nodeID
    }
  }

  static func random(_ random: inout RandomValues) -> ConfChangeSingle {
    ConfChangeSingle(kind: ConfChange.Kind.allCases[random.below(4)], nodeID: random.uint64())
  }
}

extension ConfChangeV2: Oracled {
  init(_ oracle: Raftpb_ConfChangeV2) {
    self.init(
      transition: Transition(rawValue: oracle.transition.raw) ?? .auto,
      changes: oracle.changes.map { ConfChangeSingle($0) }, context: [UInt8](oracle.context))
  }

  var oracle: Raftpb_ConfChangeV2 {
    .with {
      $0.transition = .init(raw: transition.rawValue)
      $0.changes = changes.map(\.oracle)
      if !context.isEmpty { $0.context = Data(context) }
    }
  }

  static func random(_ random: inout RandomValues) -> ConfChangeV2 {
    ConfChangeV2(
      transition: Transition.allCases[random.below(3)],
      changes: random.list(upTo: 3) { ConfChangeSingle.random(&$0) }, context: random.bytes())
  }
}
