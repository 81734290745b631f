import Disk
import Model
import Primitives
import Testing
import WriteAheadLog

/// A 64 KiB log with every kind of record, damaged in every single way.
@Suite("Write-ahead log: every cut and every flipped bit")
struct ExhaustiveDamageTests {
  static let chunks = 16

  @Test("the scripted log has what it is to have")
  func script() throws {
    let log = try ScriptedLog(closed: true)
    #expect(log.contents.count == ScriptedLog.segmentBytes)
    #expect(log.end > 58_000 && log.end <= ScriptedLog.segmentBytes)
    #expect(log.states.count > 60)
    #expect(log.last.snapshot != nil && log.last.confState != nil && log.last.hardState.commit > 0)
    let codecs = Set(log.states.dropLast().map { log.contents[$0.end + 13] })
    #expect(codecs == [0, 1], "raw and compressed frames")
    let kinds = log.states.dropLast().map { log.contents[$0.end + 12] }.reduce(0) { $0 | $1 }
    #expect(kinds == 1 | 2 | 4 | 8 | 16 | 32, "every kind of content in one segment")
  }

  @Test("cut at every byte: exactly the frames that end before it", arguments: [false, true], 0..<chunks)
  func cuts(closed: Bool, chunk: Int) throws {
    let log = try ScriptedLog(closed: closed)
    var checked = 0
    for cut in stride(from: chunk, through: log.contents.count, by: Self.chunks) {
      let disk = log.disk(Array(log.contents[..<cut]))
      if let failure = checkCut(log, disk, at: cut) {
        Issue.record("cut at \(cut): \(failure)")
        return
      }
      checked += 1
    }
    #expect(checked >= log.contents.count / Self.chunks)
  }

  private func checkCut(_ log: ScriptedLog, _ disk: SimulatedDisk, at cut: Int) -> String? {
    do throws(LogError) {
      let (reopened, recovered) = try WriteAheadLog.open(
        disk: disk, directory: directory, identity: identity, options: options())
      // A header cut short was never published by a crash, and there is nothing behind it to come back.
      if cut < ScriptedLog.headerBytes { return "accepted without its header" }
      let (end, expected) = log.content(at: cut)
      if let difference = recovered.difference(from: expected) { return difference }
      let hasRest = log.contents[end..<cut].contains { $0 != 0 }
      if recovered.tailCut?.offset != (hasRest ? end : nil)
        || (hasRest && recovered.tailCut?.file != log.path)
      {
        return "reported \(String(describing: recovered.tailCut))"
      }
      if cut % 97 == 0 { return checkGoesOn(reopened, disk, expected) }
      return nil
    } catch {
      if cut < ScriptedLog.headerBytes, error.namedFile == log.path { return nil }
      return "\(error)"
    }
  }

  /// After a recovery the log takes entries, and has them and what it had when it is opened again.
  private func checkGoesOn(_ log: WriteAheadLog, _ disk: SimulatedDisk, _ content: NaiveLog) -> String? {
    var naive = content
    let entry = Entry(term: 99, index: naive.next, data: [1, 2, 3])
    naive.append([entry])
    do throws(LogError) {
      try log.append(entries: [entry], hardState: nil)
      try log.flush()
      try log.close()
      let (_, recovered) = try WriteAheadLog.open(
        disk: disk, directory: directory, identity: identity, options: options())
      return recovered.wasClean ? recovered.difference(from: naive) : "not clean after close"
    } catch {
      return "\(error)"
    }
  }

  @Test("every bit flipped in a closed log: the same content, or refused by name", arguments: 0..<chunks)
  func flipsClosed(chunk: Int) throws {
    let log = try ScriptedLog(closed: true)
    let counts = try flips(log, chunk: chunk)
    #expect(counts.cut == 0, "a closed log lost its end without an error")
    #expect(counts.refused > 0 && counts.same > 0)
  }

  @Test(
    "every bit flipped in a log that was not closed: only the last frame is ever cut", arguments: 0..<chunks)
  func flipsOpen(chunk: Int) throws {
    let log = try ScriptedLog(closed: false)
    let counts = try flips(log, chunk: chunk)
    #expect(counts.refused > 0 && counts.same > 0)
    // Each bit of the last frame, and no other.
    let lastFrame = log.states[log.states.count - 2].end..<log.end
    #expect(counts.cut == lastFrame.count * 8 / Self.chunks)
  }

  /// Flips every `chunks`-th bit and checks each outcome.
  private func flips(_ log: ScriptedLog, chunk: Int) throws -> (same: Int, refused: Int, cut: Int) {
    var counts = (same: 0, refused: 0, cut: 0)
    let disk = log.disk.copy()
    let beforeLast = log.states[log.states.count - 2]
    let options = options()
    for bit in stride(from: chunk, to: log.contents.count * 8, by: Self.chunks) {
      disk.flipBit(bit, of: log.path)
      do throws(LogError) {
        let (opened, recovered) = try WriteAheadLog.open(
          disk: disk, directory: directory, identity: identity, options: options)
        withExtendedLifetime(opened) {}
        if let difference = recovered.difference(from: log.last) {
          guard recovered.difference(from: beforeLast.content) == nil,
            recovered.tailCut?.offset == beforeLast.end, recovered.tailCut?.file == log.path
          else {
            Issue.record("bit \(bit) changed the content silently: \(difference)")
            return counts
          }
          counts.cut += 1
        } else {
          counts.same += 1
        }
        if !recovered.wasClean {
          disk.setContents(log.path, log.contents)
        } else {
          disk.flipBit(bit, of: log.path)
        }
      } catch {
        guard error.namedFile == log.path else {
          Issue.record("bit \(bit): \(error) does not name the file")
          return counts
        }
        counts.refused += 1
        disk.flipBit(bit, of: log.path)
      }
    }
    return counts
  }
}
