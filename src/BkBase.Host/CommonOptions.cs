using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>Options that several verbs share.</summary>
internal static class CommonOptions
{
    /// <summary>Form of all <c>--json</c> output.</summary>
    public static JsonSerializerOptions JsonForm { get; } = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>A finding as <c>--json</c> prints it.</summary>
    public static object JsonOf(Diagnostic d) =>
        new { d.File, d.Line, d.Column, d.Code, severity = d.Severity == Severity.Error ? "error" : "warning", d.Message };

    public static Option<bool> Json() => new("--json") { Description = "print JSON for machines, and nothing else, on standard output" };

    public static Option<string> Store() => new("--store")
    {
        Description = "data directory of the embedded store",
        DefaultValueFactory = _ => Path.Combine(".bkbase", "store"),
    };

    public static Option<string?> ClickHouse() => new("--clickhouse")
    {
        Description = "address of a ClickHouse server in place of the embedded store: http://user:password@host:port/database (also BKBASE__Store__ClickHouse)",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("BKBASE__Store__ClickHouse"),
    };

    public static Option<string> Kafka() => new("--kafka")
    {
        Description = "bootstrap servers of Kafka",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("BKBASE__Kafka__BootstrapServers") ?? "localhost:9092",
    };
}
