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
    do {
      let member = try RunningMember.open(configuration, logger)
      try member.serve()
      notifier.ready()
      let signal = StopSignals.wait()
      logger.info("received signal; shutting down", ["signal": .text(StopSignals.name(signal))])
      notifier.stopping()
      try member.stop()
      logger.info("closed member")
      StopSignals.endProcess(by: signal)
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
