import Model
import Server
import Testing

@Suite struct ValueSyntaxTests {
  @Test(arguments: [
    ("0", 0, "0s"), ("5s", 5_000_000_000, "5s"), ("2h", 7_200_000_000_000, "2h0m0s"),
    ("100ms", 100_000_000, "100ms"),
    ("1.5h", 5_400_000_000_000, "1h30m0s"), ("1m30s", 90_000_000_000, "1m30s"),
    ("-5s", -5_000_000_000, "-5s"),
    ("1us", 1_000, "1µs"), ("1µs", 1_000, "1µs"), ("15ns", 15, "15ns"), (".5s", 500_000_000, "500ms"),
    ("1.000000001s", 1_000_000_001, "1.000000001s"), ("+3ms", 3_000_000, "3ms"), ("0s", 0, "0s"),
    ("9223372036854775807ns", Int64.max, "2562047h47m16.854775807s"), ("1500us", 1_500_000, "1.5ms"),
  ])
  func `durations`(_ text: String, _ nanoseconds: Int64, _ printed: String) throws {
    let duration = try GoDuration(parsing: text)
    #expect(duration.nanoseconds == nanoseconds)
    #expect(duration.description == printed)
  }

  @Test(arguments: [
    "", "5", "s", "1x", "1s2", "--1s", "1.s.", ".s", "1 s", "9223372036854775808ns", "3000000h", "1e3s",
  ])
  func `not durations`(_ text: String) {
    #expect(throws: ValueSyntaxError.self) { try GoDuration(parsing: text) }
  }

  @Test(arguments: [
    ("http://127.0.0.1:2379", "127.0.0.1", "2379"), (" http://localhost:1 ", "localhost", "1"),
    ("http://[::1]:2379", "::1", "2379"), ("https://h:0", "h", "0"), ("HTTP://a:1", "a", "1"),
  ])
  func `addresses`(_ text: String, _ host: String, _ port: String) throws {
    let url = try EndpointURL(parsing: text)
    #expect(url.host == host)
    #expect(url.port == port)
    #expect(try EndpointURL(parsing: url.description) == url)
  }

  @Test(arguments: [
    ("foo", "URL scheme must be http, https, unix, or unixs: foo"),
    ("", "URL scheme must be http, https, unix, or unixs: "),
    ("http://foo", "URL address does not have the form \"host:port\": http://foo"),
    ("http://::1:2379", "URL address does not have the form \"host:port\": http://::1:2379"),
    ("tcp://127.0.0.1:23", "URL scheme must be http, https, unix, or unixs: tcp://127.0.0.1:23"),
    ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
    ("127.0.0.1:2379", "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"),
    ("http://127.0.0.1:abc", "parse \"http://127.0.0.1:abc\": invalid port \":abc\" after host"),
    ("http://127.0.0.1:23/path", "URL must not contain a path: http://127.0.0.1:23/path"),
    ("http://127.0.0.1:23/", "URL must not contain a path: http://127.0.0.1:23/"),
  ])
  func `not addresses, in etcd's words`(_ text: String, _ words: String) {
    #expect(throws: ValueSyntaxError(words)) { try EndpointURL(parsing: text) }
  }

  @Test func `lists are sorted and without repetitions`() throws {
    let list = try EndpointURL.list(parsing: "http://b:2,http://a:1, http://b:2")
    #expect(list.map(\.description) == ["http://a:1", "http://b:2"])
    #expect(throws: ValueSyntaxError.self) { try EndpointURL.list(parsing: ",") }
  }

  @Test(arguments: [
    ("_1", nil), ("1_", nil), ("1__0", nil), ("0x", nil), ("08", nil), ("0_7", 7),
    ("18446744073709551615", UInt64.max), ("18446744073709551616", nil),
  ])
  func `numbers`(_ text: String, _ value: UInt64?) {
    #expect((try? GoValueSyntax.unsigned(text)) == value)
  }

  @Test func `signed numbers`() throws {
    #expect(try GoValueSyntax.integer("-9223372036854775808") == .min)
    #expect(try GoValueSyntax.integer("+7") == 7)
    #expect(throws: ValueSyntaxError("value out of range")) {
      try GoValueSyntax.integer("9223372036854775808")
    }
    #expect(throws: ValueSyntaxError("value out of range")) {
      try GoValueSyntax.integer("-9223372036854775809")
    }
    #expect(throws: ValueSyntaxError("parse error")) { try GoValueSyntax.integer("--1") }
  }
}
