/// How far an operation is. Reported often; whoever shows it decides how often.
public struct OfflineProgress: Sendable {
  public enum Unit: Sendable { case bytes, items }

  /// What is being done, in a word or two.
  public var step: String
  /// Done and in all, as of the step.
  public var done: Int
  public var total: Int
  public var unit: Unit

  public init(step: String, done: Int, total: Int, unit: Unit = .bytes) {
    self.step = step
    self.done = done
    self.total = total
    self.unit = unit
  }
}

public typealias ProgressReport = (OfflineProgress) -> Void
