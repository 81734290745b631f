internal import Model
internal import NIOCore
internal import Store

/// The reads by which health is judged: the empty key, which nobody can put, so that all parts of a read take place and
/// nothing is found.
struct HealthReads: Sendable {
  let context: FrontendContext
  let fronts: FrontendGroup

  /// A read of this member's own state; its error, or nil.
  func local() -> ClientError? {
    do throws(StoreError) {
      let view = try context.store.view()
      defer { view.end() }
      _ = try [UInt8]().withUnsafeBytes { (key) throws(StoreError) in try view.latest(key, at: view.revision) }
      return nil
    } catch {
      context.report(error)
      return context.clientError(error)
    }
  }

  /// A read that the cluster confirms; the future never fails.
  func linearizable(_ eventLoop: any EventLoop) -> EventLoopFuture<ClientError?> {
    fronts.probe(eventLoop).map { error in error ?? local() }
  }
}
