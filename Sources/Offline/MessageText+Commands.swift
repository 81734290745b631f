public import Model

extension MessageText {
  public init(_ command: RaftCommand) {
    self.init()
    var header = MessageText()
    header.add("ID", command.id)
    header.add("username", command.username)
    header.add("auth_revision", command.authRevision)
    if !header.fields.isEmpty { add("header", header) }
    switch command.operation {
    case .none: break
    case .range(let request): add("range", MessageText(request))
    case .put(let request): add("put", MessageText(request))
    case .deleteRange(let request): add("delete_range", MessageText(request))
    case .transaction(let request): add("txn", MessageText(request))
    case .compaction(let request):
      var message = MessageText()
      message.add("revision", request.revision)
      message.add("physical", request.physical)
      add("compaction", message)
    case .leaseGrant, .leaseRevoke, .leaseCheckpoint: addLease(command.operation)
    case .alarm, .clusterVersionSet, .clusterMemberAttributesSet, .downgradeInfoSet:
      addCluster(command.operation)
    case .unsupported(let field): add("unsupported_field", Int64(field))
    }
  }

  private mutating func addLease(_ operation: RaftCommand.Operation) {
    var message = MessageText()
    switch operation {
    case .leaseGrant(let grant):
      message.add("TTL", grant.ttl)
      message.add("ID", grant.id)
      add("lease_grant", message)
    case .leaseRevoke(let id):
      message.add("ID", id)
      add("lease_revoke", message)
    case .leaseCheckpoint(let checkpoints):
      message.add(
        "checkpoints",
        checkpoints.map { checkpoint in
          var part = MessageText()
          part.add("ID", checkpoint.id)
          part.add("remaining_TTL", checkpoint.remainingTTL)
          return .message(part)
        })
      add("lease_checkpoint", message)
    default: break
    }
  }

  private mutating func addCluster(_ operation: RaftCommand.Operation) {
    var message = MessageText()
    switch operation {
    case .alarm(let alarm):
      message.add("action", alarm.action, names: ["GET", "ACTIVATE", "DEACTIVATE"])
      message.add("memberID", alarm.memberID)
      message.add("alarm", alarm.alarm, names: ["NONE", "NOSPACE", "CORRUPT"])
      add("alarm", message)
    case .clusterVersionSet(let version):
      message.add("ver", version)
      add("cluster_version_set", message)
    case .clusterMemberAttributesSet(let attributes):
      message.add("member_ID", attributes.memberID)
      var inner = MessageText()
      inner.add("name", attributes.name)
      inner.add("client_urls", attributes.clientURLs.map { .text($0) })
      message.add("member_attributes", inner)
      add("cluster_member_attr_set", message)
    case .downgradeInfoSet(let info):
      message.add("enabled", info.enabled)
      message.add("ver", info.version)
      add("downgrade_info_set", message)
    default: break
    }
  }

  private static let rangeTargets = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"]

  init(_ request: RangeRequest) {
    self.init()
    add("key", request.key)
    add("range_end", request.rangeEnd)
    add("limit", request.limit)
    add("revision", request.revision)
    add("sort_order", request.sortOrder, names: ["NONE", "ASCEND", "DESCEND"])
    add("sort_target", request.sortTarget, names: Self.rangeTargets)
    add("serializable", request.serializable)
    add("keys_only", request.keysOnly)
    add("count_only", request.countOnly)
    add("min_mod_revision", request.minModRevision)
    add("max_mod_revision", request.maxModRevision)
    add("min_create_revision", request.minCreateRevision)
    add("max_create_revision", request.maxCreateRevision)
  }

  init(_ request: PutRequest) {
    self.init()
    add("key", request.key)
    add("value", request.value)
    add("lease", request.lease)
    add("prev_kv", request.previousKeyValue)
    add("ignore_value", request.ignoreValue)
    add("ignore_lease", request.ignoreLease)
  }

  init(_ request: DeleteRangeRequest) {
    self.init()
    add("key", request.key)
    add("range_end", request.rangeEnd)
    add("prev_kv", request.previousKeyValue)
  }

  init(_ request: TransactionRequest) {
    self.init()
    add("compare", request.compare.map { .message(MessageText($0)) })
    add("success", request.success.map { .message(MessageText($0)) })
    add("failure", request.failure.map { .message(MessageText($0)) })
  }

  init(_ compare: Compare) {
    self.init()
    add("result", compare.result, names: ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])
    add("target", compare.target, names: ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])
    add("key", compare.key)
    switch compare.operand {
    case .none: break
    case .version(let number): add("version", number)
    case .createRevision(let number): add("create_revision", number)
    case .modRevision(let number): add("mod_revision", number)
    case .value(let bytes): add("value", bytes)
    case .lease(let id): add("lease", id)
    }
    add("range_end", compare.rangeEnd)
  }

  init(_ operation: RequestOperation) {
    self.init()
    switch operation {
    case .none: break
    case .range(let request): add("request_range", MessageText(request))
    case .put(let request): add("request_put", MessageText(request))
    case .deleteRange(let request): add("request_delete_range", MessageText(request))
    case .transaction(let request): add("request_txn", MessageText(request))
    }
  }

  private static let changeKinds = [
    "ConfChangeAddNode", "ConfChangeRemoveNode", "ConfChangeUpdateNode", "ConfChangeAddLearnerNode",
  ]

  /// raftpb's name of a kind of change.
  public static func name(of kind: ConfChange.Kind) -> String { changeKinds[Int(kind.rawValue)] }

  /// A change of members as etcd-dump-logs names its parts.
  public init(_ change: ConfChange) {
    self.init()
    fields = [
      ("method", .name(Self.name(of: change.kind))),
      ("id", .name(String(change.nodeID, radix: 16))),
    ]
    add("context", change.context)
  }

  public init(_ change: ConfChangeV2) {
    self.init()
    add(
      "transition", change.transition.rawValue,
      names: [
        "ConfChangeTransitionAuto", "ConfChangeTransitionJointImplicit", "ConfChangeTransitionJointExplicit",
      ])
    add(
      "changes",
      change.changes.map { single in
        var part = MessageText()
        part.add("method", .name(Self.name(of: single.kind)))
        part.add("id", String(single.nodeID, radix: 16))
        return .message(part)
      })
    add("context", change.context)
  }

  public init(_ state: ConfState) {
    self.init()
    func ids(_ ids: [UInt64]) -> [Value] { ids.map { .name(String($0, radix: 16)) } }
    add("voters", ids(state.voters))
    add("learners", ids(state.learners))
    add("voters_outgoing", ids(state.votersOutgoing))
    add("learners_next", ids(state.learnersNext))
    add("auto_leave", state.autoLeave)
  }
}
