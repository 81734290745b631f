/// Which of a peer's URLs is tried: one until it fails, then the next.
struct URLPicker {
  private(set) var urls: [PeerURL]
  private var picked = 0

  /// - Parameter urls: at least one.
  init(_ urls: [PeerURL]) {
    precondition(!urls.isEmpty, "a peer has a URL")
    self.urls = urls
  }

  var current: PeerURL { urls[picked] }

  mutating func update(_ urls: [PeerURL]) {
    self = URLPicker(urls)
  }

  /// A failure of a URL that is no longer tried changes nothing.
  mutating func unreachable(_ url: PeerURL) {
    if url == current { picked = (picked + 1) % urls.count }
  }
}
