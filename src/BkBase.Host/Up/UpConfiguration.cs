using System.Net;
using BkBase.Flows.Definition;
using Confluent.Kafka;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Configuration.EnvironmentVariables;
using Microsoft.Extensions.Configuration.Json;

namespace BkBase.Host;

/// <summary>
/// Configuration from a JSON file, environment variables <c>BKBASE__Section__Key</c> and options, each going before the
/// one ahead of it; checked as a whole, so that one start shows every problem.
/// </summary>
internal static class UpConfiguration
{
    private const string Prefix = "BKBASE__";

    /// <summary>Options when there are no problems; each problem says where, what, and what would be right.</summary>
    /// <param name="file">JSON file; <see langword="null"/> for appsettings.json in the working folder, if there is one.</param>
    /// <param name="options">Keys with the option that gave them, and their values.</param>
    public static (UpOptions Options, IReadOnlyList<string> Problems) Read(string? file, IReadOnlyList<(string Key, string Option, string Value)> options)
    {
        var problems = new List<string>();
        var path = file ?? "appsettings.json";
        if (file is not null && !File.Exists(file))
        {
            problems.Add($"--config {file}: no such file");
        }

        IConfigurationRoot root;
        try
        {
            root = new ConfigurationBuilder()
                .AddJsonFile(Path.GetFullPath(path), optional: true)
                .AddEnvironmentVariables(Prefix)
                .AddInMemoryCollection(options.Select(o => KeyValuePair.Create(o.Key, (string?)o.Value)))
                .Build();
        }
        catch (Exception e) when (e is InvalidDataException or FormatException or IOException or UnauthorizedAccessException)
        {
            return (new UpOptions(), [.. problems, $"{path}: {(e.InnerException ?? e).Message}; write a JSON object of sections, as in {{\"Http\": {{\"Port\": 7070}}}}"]);
        }

        // What is wrong alone is left out, so that what is wrong together still shows.
        var good = new ConfigurationBuilder().AddInMemoryCollection(Check(root, path, options, problems)).Build();
        var bound = good.Get<UpOptions>() ?? new UpOptions();
        Agree(bound, problems);
        return (bound, problems);
    }

    private static List<KeyValuePair<string, string?>> Check(IConfigurationRoot root, string file, IReadOnlyList<(string Key, string Option, string Value)> options, List<string> problems)
    {
        var sections = UpSettings.All.Select(k => k.Path.Split(':')[0]).Distinct(StringComparer.Ordinal).ToList();
        var good = new List<KeyValuePair<string, string?>>();
        foreach (var (key, value) in root.AsEnumerable().Where(p => p.Value is not null).OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            var provider = root.Providers.Last(p => p.TryGet(key, out _));
            var where = Where(provider, key, file, options);
            var known = UpSettings.All.FirstOrDefault(k => string.Equals(k.Path, key, StringComparison.OrdinalIgnoreCase)
                || (k.IsOpen && key.StartsWith(k.Path + ":", StringComparison.OrdinalIgnoreCase)));
            if (known is null)
            {
                var section = key.Split(':')[0];

                // A settings file may be shared with other programs; what names one of our sections is meant for us.
                if (provider is not JsonConfigurationProvider || sections.Contains(section, StringComparer.OrdinalIgnoreCase))
                {
                    var names = UpSettings.All.Select(k => k.Path).ToList();
                    problems.Add($"{where}: there is no setting '{key}'.{Suggestion.For(key, names)} Settings of {section} are: {Listed(names, section)}");
                }
            }
            else if (!known.IsRight(value!))
            {
                problems.Add($"{where}: {(known.IsSecret ? "the value" : $"'{value}'")} is not right for {known.Path}; write {known.Right}");
            }
            else
            {
                good.Add(KeyValuePair.Create(key, value));
            }
        }

        return good;
    }

    // What single values cannot say.
    private static void Agree(UpOptions options, List<string> problems)
    {
        if (!IPAddress.IsLoopback(options.Http.Address) && options.Http.Token is null)
        {
            problems.Add($"Http:Listen is {options.Http.Listen}, which other machines reach, and Http:Token is not set: set a token (BKBASE__Http__Token, {HttpOptions.TokenMin} characters or more), or listen at 127.0.0.1");
        }

        if (options.Flows.RestartMax < options.Flows.RestartMin)
        {
            problems.Add($"Flows:RestartMax ({options.Flows.RestartMax:c}) is shorter than Flows:RestartMin ({options.Flows.RestartMin:c}); make it at least as long");
        }

        if (options.Ingest.PendingBytes < options.Ingest.BodyBytes)
        {
            problems.Add($"Ingest:PendingBytes ({options.Ingest.PendingBytes}) is less than Ingest:BodyBytes ({options.Ingest.BodyBytes}): no such request could be taken; make it at least as large");
        }

        if (options.Kafka.BootstrapServers is { } servers && KafkaTrouble(servers, options.Kafka.Settings) is { } trouble)
        {
            problems.Add($"Kafka:Settings: {trouble}; settings and their values are those of librdkafka");
        }

        if (!Directory.Exists(options.Flows.Directory))
        {
            problems.Add($"Flows:Directory: there is no folder '{options.Flows.Directory}'; name one with --flows or Flows:Directory");
        }
    }

    // Only the client itself knows its settings; making one opens no connection that anybody waits for.
    private static string? KafkaTrouble(string servers, IReadOnlyDictionary<string, string> settings)
    {
        try
        {
            using var client = new AdminClientBuilder([new("bootstrap.servers", servers), .. settings]).SetLogHandler((_, _) => { }).Build();
            return null;
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or KafkaException)
        {
            return e.Message;
        }
    }

    private static string Where(IConfigurationProvider provider, string key, string file, IReadOnlyList<(string Key, string Option, string Value)> options) => provider switch
    {
        JsonConfigurationProvider => file,
        EnvironmentVariablesConfigurationProvider => $"environment variable {Prefix}{key.Replace(":", "__", StringComparison.Ordinal)}",
        _ => $"option {options.Last(o => string.Equals(o.Key, key, StringComparison.OrdinalIgnoreCase)).Option}",
    };

    private static string Listed(List<string> names, string section)
    {
        var same = names.Where(n => n.StartsWith(section + ":", StringComparison.OrdinalIgnoreCase)).ToList();
        return string.Join(", ", same.Count > 0 ? same : names);
    }
}
