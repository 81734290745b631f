internal import Glibc

/// The `cairn` command: from its arguments to its end.
public enum ServerMain {
  public static func run(arguments: [String], environment: [String: String]) -> Never {
    switch LaunchPlan.make(arguments: arguments, environment: environment) {
    case .stop(let stop): end(stop)
    case .start(let configuration, let notices):
      StopSignals.block()
      let logger: Logger
      do throws(ConfigurationError) {
        logger = try Logger(configuration, journalStream: environment["JOURNAL_STREAM"])
      } catch {
        end(LaunchPlan.failure(error, notices, arguments))
      }
      for notice in notices { logger.log(notice) }
      serve(configuration, logger, ServiceNotifier(socketPath: environment["NOTIFY_SOCKET"], logger: logger))
    }
  }

  private static func serve(
    _ configuration: ServerConfiguration, _ logger: Logger, _ notifier: ServiceNotifier
  ) -> Never {
    FaultNaming.install()
    let life = Inbox<LifeEvent>()
    // The main thread waits for more than signals: a member may find that it was removed, and one without a quorum
    // must end when it is told to.
    _ = OSThread(name: "cairn-signals") { while true { life.push(.signal(StopSignals.wait())) } }
    do {
      let member = try RunningMember.open(configuration, logger, life)
      var events: [LifeEvent] = []
      while life.drain(into: &events, until: .max) {
        for event in events {
          switch event {
          case .published:
            try member.serve()
            notifier.ready()
          case .signal(let signal):
            logger.info("received signal; shutting down", ["signal": .text(StopSignals.name(signal))])
            notifier.stopping()
            try member.stop()
            logger.info("closed member")
            StopSignals.endProcess(by: signal)
          case .removed:
            logger.warn(
              "server error", ["error": "the member has been permanently removed from the cluster"])
            logger.warn("data-dir used by this member must be removed")
            notifier.stopping()
            // The others are to hear of what this member still knows, the end of the change among it.
            sleep(1)
            try member.stop()
            exit(0)
          }
        }
        events.removeAll()
      }
      preconditionFailure("nobody closes what the main thread waits for")
    } catch {
      logger.fatal("the member stopped", ["error": .text("\(error)")])
      exit(1)
    }
  }

  private static func end(_ stop: LaunchPlan.Stop) -> Never {
    writeText(stop.standardOutput, to: STDOUT_FILENO)
    writeText(stop.standardError, to: STDERR_FILENO)
    let logger = Logger(level: .info, format: .json, outputs: [.standardError])
    for notice in stop.notices { logger.log(notice) }
    exit(stop.exitCode)
  }

  private static func writeText(_ text: String, to descriptor: Int32) {
    guard !text.isEmpty else { return }
    LogOutput.write(Array(text.utf8), to: descriptor)
  }
}
