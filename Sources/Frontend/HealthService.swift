import EtcdAPI
import Model
import Synchronization
import Wire

// grpc.health.v1, as grpc-go's health server answers it for the one service that etcd names: "".

extension LoopFrontend {
  func healthCheck(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Grpc_Health_V1_HealthCheckRequest.self, call, message) else { return }
    guard request.service.isEmpty else { return call.fail(ClientError(.notFound, "unknown service")) }
    respond(call, Self.health(servingStatus))
  }

  func healthList(_ call: RPCCall) {
    var response = Grpc_Health_V1_HealthListResponse()
    response.statuses[""] = Self.health(servingStatus)
    respond(call, response)
  }

  /// Tells the state now and whenever it changes. A service that is unknown now could be known later, so the stream
  /// stays open for it too.
  func healthWatch(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Grpc_Health_V1_HealthCheckRequest.self, call, message) else { return }
    guard request.service.isEmpty else {
      healthWatches.append(HealthWatch(call: call, isKnown: false, told: .serviceUnknown))
      return send(.serviceUnknown, to: call)
    }
    let status = servingStatus
    healthWatches.append(HealthWatch(call: call, isKnown: true, told: status))
    send(status, to: call)
  }

  /// The gauge says something new.
  public func servingChanged() {
    let status = servingStatus
    for index in healthWatches.indices where healthWatches[index].isKnown {
      guard healthWatches[index].told != status else { continue }
      healthWatches[index].told = status
      send(status, to: healthWatches[index].call)
    }
  }

  func endHealthWatch(_ call: RPCCall) {
    if !healthWatches.isEmpty { healthWatches.removeAll { $0.call === call } }
  }

  /// The server stops: its streams end.
  func endHealthWatches(of connection: ServerConnection) {
    for watch in healthWatches where watch.call.connection === connection { watch.call.fail(.serverStopped) }
    healthWatches.removeAll { $0.call.connection === connection }
  }

  private var servingStatus: Grpc_Health_V1_HealthCheckResponse.ServingStatus {
    context.gauge.isServing.load(ordering: .acquiring) ? .serving : .notServing
  }

  private static func health(
    _ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus
  ) -> Grpc_Health_V1_HealthCheckResponse {
    var response = Grpc_Health_V1_HealthCheckResponse()
    response.status = status
    return response
  }

  private func send(_ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus, to call: RPCCall) {
    // Two bytes a change; a client that reads none of them costs next to nothing.
    if let message = encode(call, Self.health(status)) { _ = call.send(message) }
  }
}

/// A stream of the health service.
struct HealthWatch {
  let call: RPCCall
  let isKnown: Bool
  /// What the client was told last.
  var told: Grpc_Health_V1_HealthCheckResponse.ServingStatus
}
