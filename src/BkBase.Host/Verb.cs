using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Text.RegularExpressions;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>A verb of the command line: what it does, and examples that work as they stand in a checkout.</summary>
internal sealed class Verb(string name, string description, params string[] examples) : Command(name, description)
{
    /// <summary>Lines for a shell, each starting with <c>bkbase</c>.</summary>
    public IReadOnlyList<string> Examples { get; } = examples;
}

/// <summary>The whole command line: verbs, help with examples, and mistakes with a way out.</summary>
internal static partial class CommandLine
{
    public static RootCommand Root()
    {
        var root = new RootCommand("bkbase: a monitoring stream processor. Flows read Kafka, an embedded log or files, and leave ClickHouse tables.");
        foreach (var command in Verbs.All)
        {
            root.Subcommands.Add(command);
        }

        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        return root;
    }

    /// <summary>What is wrong with the words given, one line each; empty when all is well.</summary>
    public static IReadOnlyList<string> Mistakes(ParseResult parsed)
    {
        var command = parsed.CommandResult.Command;
        if (command is RootCommand && parsed.UnmatchedTokens is [var first, ..])
        {
            var verbs = command.Subcommands.Select(c => c.Name).ToList();
            return [$"no verb '{first}'; verbs are {string.Join(", ", verbs)}.{Suggestion.For(first, verbs)}"];
        }

        // An unknown option would else be taken for the value of an argument: "no such file '--jsn'".
        var options = command.Options.Select(o => o.Name).Append("--help").ToList();
        var unknown = command.TreatUnmatchedTokensAsErrors
            ? parsed.Tokens.TakeWhile(t => t.Type != System.CommandLine.Parsing.TokenType.DoubleDash)
                .Where(t => t.Type == System.CommandLine.Parsing.TokenType.Argument && OptionRule().IsMatch(t.Value)).Select(t => t.Value.Split('=')[0]).ToList()
            : [];
        return unknown.Count > 0
            ? [.. unknown.Select(o => $"bkbase {command.Name} has no option '{o}'; options are {string.Join(", ", options.Order(StringComparer.Ordinal))}.{Suggestion.For(o, options)}")]
            : [.. parsed.Errors.Select(e => e.Message)];
    }

    [GeneratedRegex("^--?[A-Za-z][A-Za-z-]*(=.*)?$", RegexOptions.None, 1000)]
    private static partial Regex OptionRule();

    private sealed class HelpWithExamples(HelpAction plain) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            var code = plain.Invoke(parseResult);
            var output = parseResult.InvocationConfiguration.Output;
            switch (parseResult.CommandResult.Command)
            {
                case Verb { Examples.Count: > 0 } verb:
                    output.WriteLine("Examples:");
                    foreach (var example in verb.Examples)
                    {
                        output.WriteLine("  " + example);
                    }

                    output.WriteLine();
                    break;
                case RootCommand:
                    output.WriteLine("Exit codes:");
                    output.WriteLine("  0 good, 1 failed, 2 wrong usage, 78 invalid configuration or flow");
                    output.WriteLine();
                    break;
            }

            return code;
        }
    }
}
