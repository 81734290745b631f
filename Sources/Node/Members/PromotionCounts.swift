internal import Model
internal import Replica

/// How the promotions went that this member was asked for, for metrics. A member that does not lead passes the wish on, and
/// counts nothing.
struct PromotionCounts {
  private var counts = ReplicaCounters()

  mutating func refused(_ error: ClientError) {
    switch error {
    case .memberNotFound: counts.promotionsOfUnknown += 1
    case .memberNotLearner: counts.promotionsOfVoters += 1
    case .learnerNotReady: counts.promotionsTooEarly += 1
    default: break
    }
  }

  mutating func take(_ news: MemberNews) {
    counts.promotions += UInt64(news.promotions)
    for error in news.refusedPromotions { refused(error) }
  }

  func adding(to counters: ReplicaCounters) -> ReplicaCounters {
    var all = counters
    all.promotions = counts.promotions
    all.promotionsOfUnknown = counts.promotionsOfUnknown
    all.promotionsOfVoters = counts.promotionsOfVoters
    all.promotionsTooEarly = counts.promotionsTooEarly
    return all
  }
}
