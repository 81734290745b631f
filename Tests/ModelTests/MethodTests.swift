import EtcdAPI
import Testing

@Suite struct MethodTests {
  @Test func pathsAreDistinctAndWellFormed() {
    let paths = EtcdMethod.allCases.map { "\($0.path)" }
    #expect(Set(paths).count == paths.count)
    for path in paths {
      let parts = path.split(separator: "/", omittingEmptySubsequences: false)
      #expect(parts.count == 3 && parts[0].isEmpty && !parts[2].isEmpty, "\(path)")
    }
    #expect(paths.contains("/etcdserverpb.KV/Range"))
    #expect(paths.contains("/grpc.health.v1.Health/Check"))
  }

  @Test func kinds() {
    #expect(EtcdMethod.watch.kind == .bidirectional)
    #expect(EtcdMethod.snapshot.kind == .serverStream)
    #expect(EtcdMethod.txn.kind == .unary)
  }
}
