/// The progress of each member, in the order of their ids. Clusters are small: a sorted array is searched through.
struct ProgressMap: RandomAccessCollection, Equatable, Sendable {
  private var members: [Progress] = []

  var startIndex: Int { members.startIndex }
  var endIndex: Int { members.endIndex }

  subscript(position: Int) -> Progress {
    get { members[position] }
    // In place: a copy would copy the messages in flight.
    _modify { yield &members[position] }
  }

  subscript(id: UInt64) -> Progress? { position(of: id).map { members[$0] } }

  func position(of id: UInt64) -> Int? { members.firstIndex { $0.id == id } }

  func match(of id: UInt64) -> UInt64 { position(of: id).map { members[$0].match } ?? 0 }

  mutating func insert(_ progress: Progress) {
    if let position = position(of: progress.id) {
      members[position] = progress
    } else {
      members.insert(progress, at: members.firstIndex { $0.id > progress.id } ?? members.count)
    }
  }

  mutating func remove(_ id: UInt64) { members.removeAll { $0.id == id } }

  mutating func update(_ id: UInt64, _ body: (inout Progress) -> Void) {
    if let position = position(of: id) { body(&members[position]) }
  }
}

/// The answers to one vote request, in the order of their coming.
struct Ballot {
  private var answers: [(voter: UInt64, granted: Bool)] = []

  /// The first answer of a voter counts.
  mutating func record(_ granted: Bool, of voter: UInt64) {
    if answer(of: voter) == nil { answers.append((voter, granted)) }
  }

  func answer(of voter: UInt64) -> Bool? {
    for answer in answers where answer.voter == voter { return answer.granted }
    return nil
  }

  /// Answers of those that vote.
  func tally(_ voters: JointConfiguration) -> (granted: Int, refused: Int, result: VoteResult) {
    let counted = answers.filter { voters.contains($0.voter) }
    let granted = counted.filter(\.granted).count
    return (granted, counted.count - granted, voters.result { answer(of: $0) })
  }
}
