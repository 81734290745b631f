import NIOCore

/// What the connections of one event loop share. Confined to that loop.
final class ServerLoop: @unchecked Sendable {
  let eventLoop: any EventLoop
  let options: ServerOptions
  let methods: MethodTable
  let handler: any RPCHandler
  let http1: (any HTTP1Handler)?
  let metrics: CallMetrics
  var endedCalls = EndedCalls()
  private(set) var isDraining = false
  private var connections: [ServerConnection] = []
  /// Connections with answers given outside a read; written together at the end of the loop's turn.
  private var dirty: [ServerConnection] = []

  init(
    eventLoop: any EventLoop, options: ServerOptions, methods: MethodTable, handler: any RPCHandler,
    http1: (any HTTP1Handler)?
  ) {
    self.eventLoop = eventLoop
    self.options = options
    self.methods = methods
    self.handler = handler
    self.http1 = http1
    metrics = CallMetrics(methods, timesHandling: options.timesHandling)
  }

  var connectionCount: Int { connections.count }

  func add(_ connection: ServerConnection) {
    connection.loopSlot = connections.count
    connections.append(connection)
  }

  func remove(_ connection: ServerConnection) {
    let slot = connection.loopSlot
    guard slot >= 0 else { return }
    connection.loopSlot = -1
    let last = connections.removeLast()
    if last !== connection {
      connections[slot] = last
      last.loopSlot = slot
    }
  }

  func markDirty(_ connection: ServerConnection) {
    if dirty.isEmpty {
      eventLoop.execute { [self] in flushDirty() }
    }
    dirty.append(connection)
  }

  func drain() {
    guard !isDraining else { return }
    isDraining = true
    for connection in connections { connection.drain() }
  }

  func closeAll() {
    for connection in connections { connection.close() }
  }

  private func flushDirty() {
    // A flush can make handlers answer on other connections; those come into a fresh list and turn.
    let batch = dirty
    dirty.removeAll(keepingCapacity: true)
    if !endedCalls.isEmpty { endedCalls.settle(now: .now()) }
    for connection in batch { connection.flushMarked() }
  }
}
