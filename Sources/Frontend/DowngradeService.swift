import EtcdAPI
import Model
import Store
import Wire

// Downgrade: whether the cluster may go back by one minor version, and the job that says that it is on its way. A job
// is state of the cluster and nothing more here: there is no earlier Cairn to go back to, so nobody lowers the cluster
// version, and the job lasts until it is cancelled.

extension LoopFrontend {
  func downgrade(_ call: RPCCall, _ message: UnsafeRawBufferPointer) {
    guard let request = decode(Etcdserverpb_DowngradeRequest.self, call, message) else { return }
    switch request.action {
    case .validate, .enable, .cancel:
      confirmRead(call, .afterRead { [unowned self] call in decideDowngrade(call, request) })
    case .UNRECOGNIZED: call.fail(ClientError(.unknown, "etcdserver: unknown method"))
    }
  }

  private func decideDowngrade(_ call: RPCCall, _ request: Etcdserverpb_DowngradeRequest) {
    do throws(StoreError) {
      let view = try view()
      guard let clusterVersion = try view.clusterVersion(), let version = MinorVersion(clusterVersion) else {
        return call.fail(.clusterVersionUnavailable)
      }
      let job = try view.downgradeInfo()
      if request.action == .cancel {
        // As in etcd, cancelling nothing is no error.
        guard job.enabled else { return answerDowngrade(call, clusterVersion) }
        return change(call, clusterVersion, to: DowngradeInfo())
      }
      guard let target = MinorVersion(request.version) else { return call.fail(.wrongDowngradeFormat) }
      guard target.isBefore(version) else { return call.fail(.invalidDowngradeTarget) }
      if job.enabled { return call.fail(.downgradeInProgress) }
      if request.action == .validate { return answerDowngrade(call, clusterVersion) }
      change(call, clusterVersion, to: DowngradeInfo(enabled: true, version: "\(target).0"))
    } catch {
      fail(call, error)
    }
  }

  private func change(_ call: RPCCall, _ version: String, to job: DowngradeInfo) {
    let command = RaftCommand(operation: .downgradeInfoSet(job))
    propose(
      call, .afterCommand { [unowned self] call in answerDowngrade(call, version) },
      operation: command.encoded())
  }

  private func answerDowngrade(_ call: RPCCall, _ version: String) {
    do throws(StoreError) {
      var response = Etcdserverpb_DowngradeResponse()
      response.header = header(revision: try view().revision)
      response.version = version
      respond(call, response)
    } catch {
      fail(call, error)
    }
  }
}

/// The part of a version that clusters go by: X.Y of X.Y or X.Y.Z.
private struct MinorVersion: CustomStringConvertible {
  let major: UInt32
  let minor: UInt32

  init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3 else { return nil }
    var numbers: [UInt32] = []
    for part in parts {
      guard part.allSatisfy(\.isASCII), part.allSatisfy(\.isNumber), let number = UInt32(part) else {
        return nil
      }
      numbers.append(number)
    }
    (major, minor) = (numbers[0], numbers[1])
  }

  func isBefore(_ other: MinorVersion) -> Bool {
    major == other.major && UInt64(minor) + 1 == UInt64(other.minor)
  }

  var description: String { "\(major).\(minor)" }
}

extension ClientError {
  static let wrongDowngradeFormat = ClientError(
    .invalidArgument, "etcdserver: wrong downgrade target version format")
  static let invalidDowngradeTarget = ClientError(
    .invalidArgument, "etcdserver: invalid downgrade target version")
  static let downgradeInProgress = ClientError(
    .failedPrecondition, "etcdserver: cluster has a downgrade job in progress")
  static let clusterVersionUnavailable = ClientError(
    .failedPrecondition, "etcdserver: cluster version not found during downgrade")
}
