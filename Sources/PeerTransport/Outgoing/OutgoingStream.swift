import NIOCore
import NIOHTTP1

/// The sending end of a stream: the answer, never ending, to a peer's request. Confined to the peers' event loop.
final class OutgoingStream {
  private let channel: any Channel
  /// Told once, when the connection has gone.
  var onClose: (() -> Void)?
  var onWritable: (() -> Void)?

  init(channel: any Channel) {
    self.channel = channel
  }

  var isWritable: Bool { channel.isActive && channel.isWritable }

  func writeAndFlush(_ bytes: ByteBuffer) {
    channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(bytes)), promise: nil)
  }

  func makeBuffer(capacity: Int) -> ByteBuffer { channel.allocator.buffer(capacity: capacity) }

  func close() { channel.close(mode: .all, promise: nil) }

  /// From the connection's handler.
  func closed() {
    let handler = onClose
    onClose = nil
    onWritable = nil
    handler?()
  }
}
