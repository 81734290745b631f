public import Synchronization

/// A count with one writing thread, which any thread may read: on the writer's side a plain load, addition and store.
public struct Counter: ~Copyable, Sendable {
  @usableFromInline let cell = Atomic<UInt64>(0)

  public init() {}

  @inlinable public var value: UInt64 { cell.load(ordering: .relaxed) }

  @inlinable public func add(_ count: UInt64 = 1) {
    cell.store(cell.load(ordering: .relaxed) &+ count, ordering: .relaxed)
  }

  /// For what is counted elsewhere and told here.
  @inlinable public func set(_ count: UInt64) { cell.store(count, ordering: .relaxed) }
}

/// A count that many threads write; for what happens seldom, because threads that write at once wait for each other.
public struct SharedCounter: ~Copyable, Sendable {
  private let cell = Atomic<UInt64>(0)

  public init() {}

  public var value: UInt64 { cell.load(ordering: .relaxed) }

  public func add(_ count: UInt64 = 1) { cell.wrappingAdd(count, ordering: .relaxed) }
}

/// A value that goes up and down; any thread.
public struct Gauge: ~Copyable, Sendable {
  private let cell = Atomic<Int64>(0)

  public init() {}

  public var value: Int64 { cell.load(ordering: .relaxed) }

  public func set(_ value: Int64) { cell.store(value, ordering: .relaxed) }

  public func add(_ change: Int64) { cell.wrappingAdd(change, ordering: .relaxed) }
}
