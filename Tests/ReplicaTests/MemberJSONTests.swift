import Foundation
import Model
import Testing

/// Members as etcd keeps them; the oracle is Foundation's parser.
@Suite struct MemberJSONTests {
  @Test func isWrittenAsGoWritesIt() {
    let member = Member(id: 10_501_334_649_042_878_790, peerURLs: ["http://localhost:2380"], name: "default")
    let text = #"{"id":10501334649042878790,"peerURLs":["http://localhost:2380"],"name":"default"}"#
    #expect(String(decoding: member.json, as: UTF8.self) == text)
    let full = Member(
      id: 1, peerURLs: ["a", "b"], isLearner: true, name: "<\"\\\n\u{1}ü\u{2028}>", clientURLs: ["c"])
    let fullText =
      #"{"id":1,"peerURLs":["a","b"],"isLearner":true,"name":"\u003c\"\\\n\u0001ü\u2028\u003e","clientURLs":["c"]}"#
    #expect(String(decoding: full.json, as: UTF8.self) == fullText)
    #expect(Member(json: full.json) == full)
    #expect(Member(json: member.json) == member)
  }

  @Test func isReadInAnyOrderWithUnknownFields() {
    let text = """
      { "isPromote" : false, "x": [1, -2.5e3, {"y": null}, "\\ud83d\\ude00"], "name":"\\u00fc\\/", "id" : 7,
        "peerURLs": null }
      """
    #expect(Member(json: Array(text.utf8)) == Member(id: 7, peerURLs: [], name: "ü/"))
  }

  @Test(arguments: [
    "", "{", "{}", "[]", #"{"id":-1}"#, #"{"id":18446744073709551616}"#, #"{"id":"7"}"#, #"{"id":7,}"#,
    #"{"id":7} x"#, #"{"id":7,"peerURLs":[1]}"#, #"{"id":7,"name":"a"#, #"{"id":7,"name":"\q"}"#,
    #"{"id":7,"isLearner":1}"#, String(repeating: "[", count: 10_000),
    #"{"x":"# + String(repeating: "[", count: 10_000),
    #"{"id":7,"x":"# + String(repeating: #"{"a":"#, count: 10_000),
  ])
  func isRefusedWithoutATrap(text: String) {
    #expect(Member(json: Array(text.utf8)) == nil)
  }

  @Test func theAnswerToAHashIsRead() {
    func answer(_ text: String) -> HashAnswer? { HashAnswer(json: Array(text.utf8)) }
    let header = #"{"cluster_id":9,"member_id":18446744073709551615,"revision":21,"raft_term":2}"#
    let found = answer(
      #"{"header":\#(header),"hash":4294967295,"compact_revision":-1,"hash_revision":21}"# + "\n")
    #expect(
      found?.memberID == .max && found?.revision == 21 && found?.hash == 4_294_967_295
        && found?.compactRevision == -1)
    #expect(answer(#"{"hash":1,"compact_revision":9223372036854775807}"#)?.compactRevision == .max)
    for text in [
      "", "{}", #"{"hash":-1}"#, #"{"hash":1,"compact_revision":-}"#, #"{"hash":1}{"#,
      #"{"hash":1,"compact_revision":-9223372036854775808}"#, #"{"hash":1,"header":[]}"#,
      #"{"hash":1,"header":{"revision":"2"}}"#,
    ] {
      #expect(answer(text) == nil, "\(text)")
    }
  }

  @Test(arguments: [false, true])
  func theContextOfAChangeComesBack(isPromote: Bool) {
    let members = [
      Member(id: 7, peerURLs: []), Member(id: .max, peerURLs: ["http://h:2380"], isLearner: true, name: "n"),
    ]
    for member in members {
      let context = ConfigChangeContext(member: member, isPromote: isPromote)
      #expect(ConfigChangeContext(json: context.json) == context)
    }
    let text = #"{"id":7,"peerURLs":null,"isPromote":true}"#
    let context = ConfigChangeContext(member: Member(id: 7, peerURLs: []), isPromote: true)
    #expect(String(decoding: context.json, as: UTF8.self) == text)
    // The changes that start a cluster carry the member alone.
    #expect(ConfigChangeContext(json: members[1].json)?.isPromote == false)
  }

  /// Cut and changed anywhere, a context is another one or none; whatever it is, all members read the same.
  @Test func aDamagedContextIsNoTrap() {
    let member = Member(
      id: 7, peerURLs: ["http://h:2380"], isLearner: true, name: "\u{1}ü", clientURLs: ["c"])
    let json = ConfigChangeContext(member: member, isPromote: true).json
    for offset in json.indices {
      #expect(ConfigChangeContext(json: Array(json[..<offset])) == nil)
      for byte in UInt8.min...UInt8.max {
        var changed = json
        changed[offset] = byte
        guard let context = ConfigChangeContext(json: changed) else { continue }
        #expect(ConfigChangeContext(json: context.json) == context)
      }
    }
    for wrong in [#"{"id":7,"isPromote":1}"#, #"{"id":7,"isPromote":"true"}"#, #"{"isPromote":true}"#] {
      #expect(ConfigChangeContext(json: Array(wrong.utf8)) == nil)
    }
  }
}
