/// Which entries of which frames make up the log, known from frame headers alone: later frames supersede what earlier
/// ones hold at and above their first index, and a received snapshot voids everything before.
struct LiveEntries {
  struct Piece {
    var frame: Int
    var indexes: Range<UInt64>
  }

  private(set) var pieces: [Piece] = []
  private(set) var nextIndex: UInt64

  /// `nextIndex` as the first segment's header has it.
  init(nextIndex: UInt64) { self.nextIndex = nextIndex }

  /// The lowest index kept.
  var firstIndex: UInt64 { pieces.first?.indexes.lowerBound ?? nextIndex }

  /// False when the frame's entries do not follow on what is there.
  mutating func add(_ header: FrameHeader, frame: Int) -> Bool {
    if header.content.contains(.reset) {
      pieces.removeAll()
      nextIndex = header.firstIndex
    }
    guard header.entryCount > 0 else { return true }
    guard header.firstIndex > 0, header.firstIndex <= nextIndex else { return false }
    while let last = pieces.last, last.indexes.upperBound > header.firstIndex {
      pieces.removeLast()
      if last.indexes.lowerBound < header.firstIndex {
        pieces.append(Piece(frame: last.frame, indexes: last.indexes.lowerBound..<header.firstIndex))
      }
    }
    pieces.append(Piece(frame: frame, indexes: header.firstIndex..<header.nextIndex))
    nextIndex = header.nextIndex
    return true
  }
}
