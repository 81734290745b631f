import Client
import Testing

@Suite struct EndpointTests {
  @Test(arguments: [
    ("127.0.0.1:2379", "127.0.0.1:2379"), ("localhost", "localhost:2379"), ("http://a.b:1", "a.b:1"),
    ("http://a.b:1/", "a.b:1"), ("[::1]:80", "[::1]:80"), ("http://[::1]", "[::1]:2379"),
  ])
  func wellFormed(text: String, expected: String) throws {
    #expect(try Endpoint(text).description == expected)
  }

  @Test(arguments: [
    "", ":2379", "a:0", "a:65536", "a:x", "a:", "https://a:1", "unix://a", "[::1", "[::1]x", "a/b", "http://",
  ])
  func malformed(text: String) {
    #expect(throws: Endpoint.Malformed.self) { try Endpoint(text) }
  }

  @Test func prefixEnds() {
    #expect(prefixEnd([1, 2]) == [1, 3])
    #expect(prefixEnd([1, 0xff]) == [2])
    #expect(prefixEnd([0xff, 0xff]) == [0])
    #expect(prefixEnd([]) == [0])
  }
}
