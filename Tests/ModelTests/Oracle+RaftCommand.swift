import EtcdAPI
import Foundation
import Model
import Primitives
import SwiftProtobuf

extension RaftCommand: Oracled {
  /// What etcd's apply makes of the message: its id, and the first operation in the order of its dispatch.
  init(_ oracle: Etcdserverpb_InternalRaftRequest) {
    self.init(
      id: oracle.id != 0 ? oracle.id : oracle.header.id, username: oracle.header.username,
      authRevision: oracle.header.authRevision, operation: Operation(oracle))
  }

  var oracle: Etcdserverpb_InternalRaftRequest {
    .with {
      if id != 0 || !username.isEmpty || authRevision != 0 {
        $0.header.id = id
        $0.header.username = username
        $0.header.authRevision = authRevision
      }
      switch operation {
      case .none: break
      case .range(let request): $0.range = request.oracle
      case .put(let request): $0.put = request.oracle
      case .deleteRange(let request): $0.deleteRange = request.oracle
      case .transaction(let request): $0.txn = request.oracle
      case .compaction(let request): $0.compaction = request.oracle
      case .leaseGrant(let grant): $0.leaseGrant = grant.oracle
      case .leaseRevoke(let id): $0.leaseRevoke = .with { $0.id = id }
      case .leaseCheckpoint(let list): $0.leaseCheckpoint = .with { $0.checkpoints = list.map(\.oracle) }
      case .alarm(let alarm): $0.alarm = alarm.oracle
      case .clusterVersionSet(let version): $0.clusterVersionSet = .with { $0.ver = version }
      case .clusterMemberAttributesSet(let attributes): $0.clusterMemberAttrSet = attributes.oracle
      case .downgradeInfoSet(let info): $0.downgradeInfoSet = info.oracle
      case .unsupported(let field):
        if field == 1000 { $0.authEnable = .init() } else { $0.authRoleList = .init() }
      }
    }
  }

  static func random(_ random: inout RandomValues) -> RaftCommand {
    RaftCommand(
      id: random.uint64(), username: random.string(), authRevision: random.uint64(),
      operation: Operation.random(&random))
  }
}

extension RaftCommand.Operation {
  init(_ oracle: Etcdserverpb_InternalRaftRequest) {
    self =
      if oracle.hasClusterVersionSet {
        .clusterVersionSet(oracle.clusterVersionSet.ver)
      } else if oracle.hasClusterMemberAttrSet {
        .clusterMemberAttributesSet(MemberAttributes(oracle.clusterMemberAttrSet))
      } else if oracle.hasDowngradeInfoSet {
        .downgradeInfoSet(DowngradeInfo(oracle.downgradeInfoSet))
      } else if oracle.hasRange {
        .range(RangeRequest(oracle.range))
      } else if oracle.hasPut {
        .put(PutRequest(oracle.put))
      } else if oracle.hasDeleteRange {
        .deleteRange(DeleteRangeRequest(oracle.deleteRange))
      } else if oracle.hasTxn {
        .transaction(TransactionRequest(oracle.txn))
      } else if oracle.hasCompaction {
        .compaction(CompactionRequest(oracle.compaction))
      } else if oracle.hasLeaseGrant {
        .leaseGrant(LeaseGrant(oracle.leaseGrant))
      } else if oracle.hasLeaseRevoke {
        .leaseRevoke(id: oracle.leaseRevoke.id)
      } else if oracle.hasLeaseCheckpoint {
        .leaseCheckpoint(oracle.leaseCheckpoint.checkpoints.map { LeaseCheckpoint($0) })
      } else if oracle.hasAlarm {
        .alarm(AlarmCommand(oracle.alarm))
      } else if let field = Self.unsupportedField(oracle) {
        .unsupported(field: field)
      } else {
        .none
      }
  }

  private static func unsupportedField(_ oracle: Etcdserverpb_InternalRaftRequest) -> Int? {
    let presence: [(Int, Bool)] = [
      (1000, oracle.hasAuthEnable), (1011, oracle.hasAuthDisable), (1012, oracle.hasAuthenticate),
      (1013, oracle.hasAuthStatus), (1100, oracle.hasAuthUserAdd), (1101, oracle.hasAuthUserDelete),
      (1102, oracle.hasAuthUserGet), (1103, oracle.hasAuthUserChangePassword),
      (1104, oracle.hasAuthUserGrantRole), (1105, oracle.hasAuthUserRevokeRole),
      (1106, oracle.hasAuthUserList), (1107, oracle.hasAuthRoleList), (1200, oracle.hasAuthRoleAdd),
      (1201, oracle.hasAuthRoleDelete), (1202, oracle.hasAuthRoleGet),
      (1203, oracle.hasAuthRoleGrantPermission), (1204, oracle.hasAuthRoleRevokePermission),
      (9900, oracle.hasDowngradeVersionTest),
    ]
    return presence.first { $0.1 }?.0
  }

  static func random(_ random: inout RandomValues) -> RaftCommand.Operation {
    switch random.below(14) {
    case 0: .none
    case 1: .range(RangeRequest.random(&random))
    case 2: .put(PutRequest.random(&random))
    case 3: .deleteRange(DeleteRangeRequest.random(&random))
    case 4: .transaction(TransactionRequest.random(&random))
    case 5: .compaction(CompactionRequest.random(&random))
    case 6: .leaseGrant(LeaseGrant.random(&random))
    case 7: .leaseRevoke(id: random.int64())
    case 8: .leaseCheckpoint(random.list(upTo: 3) { LeaseCheckpoint.random(&$0) })
    case 9: .alarm(AlarmCommand.random(&random))
    case 10: .clusterVersionSet(random.string())
    case 11: .clusterMemberAttributesSet(MemberAttributes.random(&random))
    case 12: .downgradeInfoSet(DowngradeInfo.random(&random))
    default: .unsupported(field: random.bool() ? 1000 : 1107)
    }
  }
}

extension LeaseGrant: Oracled {
  init(_ oracle: Etcdserverpb_LeaseGrantRequest) { self.init(id: oracle.id, ttl: oracle.ttl) }

  var oracle: Etcdserverpb_LeaseGrantRequest {
    .with {
      $0.id = id
      $0.ttl = ttl
    }
  }

  static func random(_ random: inout RandomValues) -> LeaseGrant {
    LeaseGrant(id: random.int64(), ttl: random.int64())
  }
}

extension LeaseCheckpoint: Oracled {
  init(_ oracle: Etcdserverpb_LeaseCheckpoint) {
    self.init(id: oracle.id, remainingTTL: oracle.remainingTtl)
  }

  var oracle: Etcdserverpb_LeaseCheckpoint {
    .with {
      $0.id = id
      $0.remainingTtl = remainingTTL
    }
  }

  static func random(_ random: inout RandomValues) -> LeaseCheckpoint {
    LeaseCheckpoint(id: random.int64(), remainingTTL: random.int64())
  }
}

extension AlarmCommand: Oracled {
  init(_ oracle: Etcdserverpb_AlarmRequest) {
    self.init(action: oracle.action.raw, memberID: oracle.memberID, alarm: oracle.alarm.raw)
  }

  var oracle: Etcdserverpb_AlarmRequest {
    .with {
      $0.action = .init(raw: action)
      $0.memberID = memberID
      $0.alarm = .init(raw: alarm)
    }
  }

  static func random(_ random: inout RandomValues) -> AlarmCommand {
    AlarmCommand(action: random.enumValue(3), memberID: random.uint64(), alarm: random.enumValue(3))
  }
}

extension MemberAttributes: Oracled {
  init(_ oracle: Membershippb_ClusterMemberAttrSetRequest) {
    self.init(
      memberID: oracle.memberID, name: oracle.memberAttributes.name,
      clientURLs: oracle.memberAttributes.clientUrls)
  }

  var oracle: Membershippb_ClusterMemberAttrSetRequest {
    .with {
      $0.memberID = memberID
      $0.memberAttributes = .with {
        $0.name = name
        $0.clientUrls = clientURLs
      }
    }
  }

  static func random(_ random: inout RandomValues) -> MemberAttributes {
    MemberAttributes(
      memberID: random.uint64(), name: random.string(), clientURLs: random.list(upTo: 3) { $0.string() })
  }
}

extension DowngradeInfo: Oracled {
  init(_ oracle: Membershippb_DowngradeInfoSetRequest) {
    self.init(enabled: oracle.enabled, version: oracle.ver)
  }

  var oracle: Membershippb_DowngradeInfoSetRequest {
    .with {
      $0.enabled = enabled
      $0.ver = version
    }
  }

  static func random(_ random: inout RandomValues) -> DowngradeInfo {
    DowngradeInfo(enabled: random.bool(), version: random.string())
  }
}
