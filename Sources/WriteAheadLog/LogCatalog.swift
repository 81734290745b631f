/// Where entries lie in the segments, coarsely: a mark for every so many bytes of frames, from which a reader goes on
/// frame by frame, and the frames that superseded entries of earlier ones.
struct LogCatalog {
  struct Place: Equatable {
    var segment: UInt64
    var offset: Int
  }

  private struct Mark {
    /// Of the frame there.
    var firstIndex: UInt64
    var frame: UInt64
    var place: Place
  }

  /// A reader visits at most so many bytes before it comes to what it looks for, and one frame more.
  static let spacingBytes = 256 << 10

  private var marks: [Mark] = []
  /// Entries from `index` on in frames before `frame` are void. A change of leader makes one, no more often.
  private var cuts: [(frame: UInt64, index: UInt64)] = []
  /// The lowest index that is there.
  private(set) var firstIndex: UInt64
  private var nextIndex: UInt64

  /// `nextIndex` as the first segment's header has it.
  init(nextIndex: UInt64) {
    firstIndex = nextIndex
    self.nextIndex = nextIndex
  }

  /// A frame behind all others.
  mutating func add(_ header: FrameHeader, at place: Place) {
    if header.content.contains(.reset) {
      self = LogCatalog(nextIndex: header.firstIndex)
    }
    guard header.entryCount > 0 else { return }
    let isCut = header.firstIndex < nextIndex
    if isCut {
      cuts.append((header.number, header.firstIndex))
      firstIndex = min(firstIndex, header.firstIndex)
    }
    nextIndex = header.nextIndex
    // A frame that cuts is where the entries from its first index on begin.
    if !isCut, let last = marks.last, last.place.segment == place.segment,
      place.offset - last.place.offset < Self.spacingBytes
    {
      return
    }
    marks.append(Mark(firstIndex: header.firstIndex, frame: header.number, place: place))
  }

  /// Segments before `segment` are given up; none of their entries had an index above `highestIndex`.
  mutating func drop(before segment: UInt64, highestIndex: UInt64) {
    marks.removeAll { $0.place.segment < segment }
    let lowest = marks.first?.frame ?? .max
    cuts.removeAll { $0.frame < lowest }
    firstIndex = max(firstIndex, highestIndex + 1)
  }

  /// From where to read in order to come to the entry at `index`.
  func start(of index: UInt64) -> Place? {
    guard index >= firstIndex, index < nextIndex else { return nil }
    // No frame that begins at or below the index comes after the one that holds it.
    return marks.last { $0.firstIndex <= index }?.place
  }

  /// Entries of the frame of this number from here on are void.
  func end(ofFrame number: UInt64) -> UInt64 {
    cuts.reduce(UInt64.max) { $1.frame > number ? min($0, $1.index) : $0 }
  }
}
