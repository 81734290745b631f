extension Array where Element == UInt8 {
  /// The array's bytes in place. The standard library's `withUnsafeBytes` forgets the type of what its body
  /// throws.
  @inline(__always)
  func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try span.bytes.withUnsafeBytes(body)
  }
}
