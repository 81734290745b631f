internal import CPrimitives

/// The data file is mapped: a disk that cannot read it, or a damaged page that leads LMDB astray, shows as a memory
/// fault. The process ends then, by the signal as before, but with a line that says where to look.
enum FaultNaming {
  private static let line: StaticString = """
    {"level":"fatal","msg":"memory fault; the data file or the disk below it may be damaged"}

    """

  static func install() {
    cairn_name_faults(UnsafeRawPointer(line.utf8Start).assumingMemoryBound(to: CChar.self))
  }
}
