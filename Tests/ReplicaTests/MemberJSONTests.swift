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
}
