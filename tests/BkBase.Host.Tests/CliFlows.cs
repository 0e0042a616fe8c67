namespace BkBase.Host.Tests;

/// <summary>Flows that the tests of the command line write to files.</summary>
internal static class CliFlows
{
    /// <summary>Lines of <c>{"ts", "level", "cost", "msg"}</c> in a file, filtered by level, into table 2_{name}.</summary>
    public static string Lines(string name, string source = "type: file, path: app.ndjson") => $$"""
        flow: {{name}}
        biz: 2
        sources:
          - { name: lines, {{source}}, etl: { type: json, time: { path: ts, unit: ms }, fields: { level: { role: dimension }, cost: { type: float64, nullable: true }, msg: { type: text } } } }
        nodes:
          - { name: errors, type: filter, where: "level = 'error'" }
        sinks:
          - { type: clickhouse, table: {{name}}, ttl: 30d }
        """;

    public static long Now => TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();

    public static string Line(long time, string message, string level = "error", string cost = "1") =>
        $$"""{"ts":{{time}},"level":"{{level}}","cost":{{cost}},"msg":"{{message}}"}""";
}
