using System.Globalization;
using BkBase.Store.Engine;

namespace BkBase.Store.Http;

/// <summary>What analysts may do: one reading statement at a time, within limits.</summary>
internal static class AnalystMode
{
    private static readonly HashSet<string> Refused = new(StringComparer.Ordinal)
    {
        "readonly", "allow_ddl", "allow_introspection_functions", "profile", "timeout_overflow_mode", "result_overflow_mode", "http_max_tries",
    };

    // The driver sends these with every statement; 0 is the engine's default.
    private static readonly HashSet<string> Dropped = new(StringComparer.Ordinal)
    {
        "output_format_binary_write_json_as_string", "input_format_binary_read_json_as_string",
    };

    /// <summary>The arguments of an analyst's connection. A limit may be lowered, not raised.</summary>
    public static IEnumerable<string> Arguments(StoreOptions options, IReadOnlyDictionary<string, string> wanted, IReadOnlySet<string> known)
    {
        var limits = new Dictionary<string, long>(StringComparer.Ordinal)
        {
            ["max_execution_time"] = Math.Max(1, (long)options.AnalystMaxExecutionTime.TotalSeconds),
            ["max_memory_usage"] = options.AnalystMaxMemory,
            ["max_threads"] = options.AnalystMaxThreads,
            ["max_result_rows"] = options.AnalystMaxResultRows,
        };
        var arguments = new List<string>();
        foreach (var (name, value) in wanted)
        {
            if (!known.Contains(name))
            {
                throw EngineException.Of(EngineException.UnknownSetting, $"Unknown setting '{name}'", "UNKNOWN_SETTING");
            }

            if (limits.TryGetValue(name, out var limit))
            {
                limits[name] = long.TryParse(value, CultureInfo.InvariantCulture, out var asked) && asked > 0 ? Math.Min(asked, limit) : limit;
            }
            else if (Refused.Contains(name))
            {
                throw EngineException.Of(EngineException.ReadOnly, $"Cannot modify '{name}' setting in readonly mode", "READONLY");
            }
            else if (!Dropped.Contains(name))
            {
                arguments.Add($"--{name}={value}");
            }
        }

        return [.. arguments, "--http_max_tries=1", .. limits.Select(l => string.Create(CultureInfo.InvariantCulture, $"--{l.Key}={l.Value}")), "--readonly=1"];
    }

    public static void Check(StatementClass statement, int count)
    {
        if (count > 1)
        {
            throw EngineException.Of(EngineException.SyntaxError, "Multi-statements are not allowed", "SYNTAX_ERROR");
        }

        if (statement == StatementClass.Unknown)
        {
            throw EngineException.Of(EngineException.SyntaxError, "Syntax error: the statement could not be read, or is not known to be reading only", "SYNTAX_ERROR");
        }

        if (statement != StatementClass.ReadOnly)
        {
            throw EngineException.Of(EngineException.ReadOnly, $"Cannot execute this statement in readonly mode ({statement})", "READONLY");
        }
    }
}
