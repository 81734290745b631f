/// What a call's handler goes on with by itself: told when the call ends from the other side, and when it has room again.
protocol CallWork: AnyObject {
  func cancel()
  func resume()
}

extension CallWork {
  func resume() {}
}
