internal import Model
internal import NIOCore
internal import Store

/// The reads by which health is judged: the first key of all.
struct HealthReads: Sendable {
  let context: FrontendContext
  let fronts: FrontendGroup

  /// A read of this member's own state; its error, or nil.
  func local() -> ClientError? {
    do throws(StoreError) {
      let view = try context.store.view()
      defer { view.end() }
      try view.scan(from: [], to: .unbounded, at: view.revision, content: .metadata) { _ in .stop }
      return nil
    } catch {
      context.report(error)
      return context.clientError(error)
    }
  }

  /// Nil while there is none, or it cannot be read.
  func clusterVersion() -> String? {
    do throws(StoreError) {
      let view = try context.store.view()
      defer { view.end() }
      return try view.clusterVersion()
    } catch {
      context.report(error)
      return nil
    }
  }

  /// A read that the cluster confirms; the future never fails.
  func linearizable(_ eventLoop: any EventLoop) -> EventLoopFuture<ClientError?> {
    fronts.probe(eventLoop).map { error in error ?? local() }
  }
}
