using System.CommandLine;

namespace BkBase.Host;

/// <summary><c>bkbase up</c>: all flows of a folder, until stopped.</summary>
internal static class UpCommand
{
    private const string Help = """
        Run all flows of a folder until stopped, take records by HTTP, serve /metrics and /health.

        Settings come from appsettings.json (or --config), then BKBASE__Section__Key in the environment, then options.
        Without Kafka the embedded log takes its place: topics are made on first use and flows go on where they stopped.
        Ctrl-C or SIGTERM drains and ends with 0; a second one ends at once. 78: settings, or all flow files, are wrong.
        """;

    public static Command Create()
    {
        (Option<string?> Option, string Key)[] keys =
        [
            (new("--flows") { Description = "folder of flow files (Flows:Directory, default flows)" }, "Flows:Directory"),
            (new("--store") { Description = "data directory of embedded store and log (Store:Directory, default .bkbase/store)" }, "Store:Directory"),
            (new("--clickhouse") { Description = "a ClickHouse server in place of the embedded store: http://user:password@host:port (Store:ClickHouse)" }, "Store:ClickHouse"),
            (new("--kafka") { Description = "bootstrap servers of Kafka in place of the embedded log (Kafka:BootstrapServers)" }, "Kafka:BootstrapServers"),
            (new("--listen") { Description = "address to listen at; other than loopback only with Http:Token (Http:Listen, default 127.0.0.1)" }, "Http:Listen"),
            (new("--port") { Description = "port to listen at, 0 for a free one (Http:Port, default 7070)" }, "Http:Port"),
        ];
        var config = new Option<string?>("--config") { Description = "file of settings (default appsettings.json, if there is one)" };
        var set = new Option<string[]>("--set") { Description = "Section:Key=VALUE: any setting; may stand several times", DefaultValueFactory = _ => [] };
        var json = CommonOptions.Json();
        var command = new Verb(
            "up",
            Help,
            "bkbase up --flows flows --store data",
            "BKBASE__Http__Token=... bkbase up --listen 0.0.0.0 --kafka broker:9092 --clickhouse http://user:password@host:8123") { config, set, json };
        foreach (var (option, _) in keys)
        {
            command.Options.Add(option);
        }

        command.SetAction((parsed, stop) => Guard.RunAsync(async () =>
        {
            var given = new List<(string, string, string)>();
            var problems = new List<string>();
            foreach (var text in parsed.GetValue(set)!)
            {
                if (text.Split('=', 2) is [{ Length: > 0 } key, var value])
                {
                    given.Add((key, $"--set {key}", value));
                }
                else
                {
                    problems.Add($"option --set {text}: write Section:Key=VALUE");
                }
            }

            given.AddRange(keys.Where(k => parsed.GetValue(k.Option) is not null).Select(k => (k.Key, k.Option.Name, parsed.GetValue(k.Option)!)));
            var (options, found) = UpConfiguration.Read(parsed.GetValue(config), given);
            problems.AddRange(found);
            problems.ForEach(p => Console.Error.WriteLine($"bkbase: {p}"));
            return problems.Count > 0 ? ExitCodes.Invalid : await Up.RunAsync(options, parsed.GetValue(json), stop);
        }));
        return command;
    }
}
