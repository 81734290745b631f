public import Primitives

// The data of a normal entry: a command, or what older members of etcd write in its place.
extension RaftCommand {
  /// The command of a normal entry with data.
  public init(entry data: [UInt8]) throws(ProtoError) {
    if let request = LegacyRequest(entry: data) {
      guard let command = request.command else { throw .badLegacyRequest }
      self = command
    } else {
      try self.init(decoding: data)
    }
  }

  /// Whether a member may take an entry with this data from another: one that cannot be read would end every member that
  /// executes it, and one without an operation is no proposal of anybody's. Puts, which most entries are, are looked
  /// through where they lie; the answer is the same.
  public static func isExecutable(entry data: [UInt8]) -> Bool {
    let isPut = unsafe data.withUnsafeBytes { bytes in
      var reader = unsafe ProtoReader(bytes)
      return (try? isPlainPut(&reader)) ?? false
    }
    if isPut { return true }
    if let request = LegacyRequest(entry: data) { return request.command?.namesNoWrongVersion ?? false }
    guard let command = try? RaftCommand(decoding: data) else { return false }
    return command.operation != .none && command.namesNoWrongVersion
  }

  /// A version of the cluster has three numbers: etcd's members end over another.
  private var namesNoWrongVersion: Bool {
    guard case .clusterVersionSet(let text) = operation else { return true }
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false)
    return numbers.count == 3
      && numbers.allSatisfy { number in
        (1...9).contains(number.utf8.count) && number.utf8.allSatisfy { (0x30...0x39).contains($0) }
      }
  }

  /// Whether this is a put and a header without a user's name, in fields that can be read; throws or says no for anything
  /// else.
  private static func isPlainPut(_ reader: inout ProtoReader) throws(ProtoError) -> Bool {
    var hasPut = false
    while let tag = try reader.nextTag() {
      switch tag {
      case .length(4): hasPut = true
      case .length(100): break
      default: return false
      }
      var inner = try reader.readMessage()
      while let field = try inner.nextTag() {
        // The name is text, which has to be valid.
        if case .length(100) = tag, case .length(2) = field { return false }
        try inner.skip(field)
      }
    }
    return hasPut
  }
}
