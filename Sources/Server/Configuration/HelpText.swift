/// What `--help` prints, and what follows a flag that does not parse.
public enum HelpText {
  /// Goes to standard error, as Go's `flag` package has it.
  public static let usage = """
    Usage:

      cairn [flags]
        Start a member.

      cairn --version
        Show the version of cairn.

      cairn -h | --help
        Show the help information about cairn.

      cairn --config-file
        Path to the server configuration file. Note that if a configuration file is provided, other command line flags and environment variables will be ignored.

    Every flag can be set by the variable ETCD_ and its name in capitals, with '_' for '-'.


    """

  /// Goes to standard output.
  public static let flags: String =
    FlagDefinition.Section.allCases.map(section).joined() + "\n" + caution

  private static let caution = """
    CAUTIOUS with unsafe flag! It may break the guarantees given by the consensus protocol!

    """

  private static func section(_ section: FlagDefinition.Section) -> String {
    guard section != .hidden else { return "" }
    var text = "\n\(section.rawValue):\n"
    for flag in FlagTable.all where flag.section == section {
      text += "  --\(flag.name) '\(flag.defaultText)'\n    \(flag.summary)\(remark(flag))\n"
    }
    return text
  }

  private static func remark(_ flag: FlagDefinition) -> String {
    switch flag.support {
    case .effective: ""
    case .withoutEffect: " (accepted, without effect)"
    case .notBuilt: " (not in this version: only the default is accepted)"
    }
  }
}
