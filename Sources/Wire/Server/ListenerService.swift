/// What the connections of one listener may ask for.
public enum ListenerService: Sendable {
  /// gRPC, and HTTP/1.1 with the server's handler.
  case everything
  /// gRPC alone; other connections are closed.
  case calls
  /// HTTP/1.1 alone, with the server's handler.
  case http
  /// HTTP/1.1 alone, with a handler of its own.
  case pages(any HTTP1Handler)

  var takesCalls: Bool {
    switch self {
    case .everything, .calls: true
    case .http, .pages: false
    }
  }

  func http1(_ usual: (any HTTP1Handler)?) -> (any HTTP1Handler)? {
    switch self {
    case .everything, .http: usual
    case .calls: nil
    case .pages(let handler): handler
    }
  }
}
