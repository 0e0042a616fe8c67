namespace BkBase.Host.Tests;

/// <summary>Settings of <c>up</c>: where they come from, which goes before which, and what is said about wrong ones.</summary>
public sealed class UpConfigurationTests
{
    [Fact]
    public void Options_go_before_the_environment_and_that_before_the_file()
    {
        var file = File("""{"Http": {"Port": 1001, "Listen": "127.0.0.2"}, "Log": {"Partitions": 3}, "Kafka": {"Settings": {"security.protocol": "ssl"}}}""");
        Environment.SetEnvironmentVariable("BKBASE__Http__Port", "1002");
        Environment.SetEnvironmentVariable("BKBASE__Log__Partitions", "4");
        try
        {
            var (options, problems) = Read(file, ("Http:Port", "--port", "1003"));
            Assert.Empty(problems);
            Assert.Equal(1003, options.Http.Port);
            Assert.Equal(4, options.Log.Partitions);
            Assert.Equal("127.0.0.2", options.Http.Listen);
            Assert.Equal("ssl", options.Kafka.Settings["security.protocol"]);
        }
        finally
        {
            Environment.SetEnvironmentVariable("BKBASE__Http__Port", null);
            Environment.SetEnvironmentVariable("BKBASE__Log__Partitions", null);
        }
    }

    [Theory]
    [InlineData("Http:Port", "-1")]
    [InlineData("Http:Port", "7e1")]
    [InlineData("Http:Listen", "example")]
    [InlineData("Http:Token", "too short")]
    [InlineData("Flows:RestartMin", "5")]
    [InlineData("Flows:Drain", "-00:00:01")]
    [InlineData("Store:ClickHouse", "host:8123")]
    [InlineData("Kafka:BootstrapServers", "broker")]
    [InlineData("Kafka:BootstrapServers", "a:1,b:99999")]
    [InlineData("Log:Partitions", "0")]
    [InlineData("Ingest:RecordBytes", "99999999")]
    [InlineData("Ingest:Topics", "good,not good")]
    [InlineData("Ingest:Nothing", "1")]
    [InlineData("Http", "1")]
    public void A_wrong_value_is_one_problem_that_names_its_place(string key, string value)
    {
        var problem = Assert.Single(Read(null, (key, "--set " + key, value)).Problems);
        Assert.StartsWith($"option --set {key}: ", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_that_do_not_go_together_are_problems()
    {
        var (_, problems) = Read(null, ("Http:Listen", "--listen", "::"), ("Flows:RestartMin", "--set", "00:01:00"), ("Flows:RestartMax", "--set", "00:00:01"), ("Ingest:PendingBytes", "--set", "2048"));
        Assert.Equal(3, problems.Count);
        Assert.Empty(Read(null, ("Http:Listen", "--listen", "::"), ("Http:Token", "--set", "0123456789abcdef")).Problems);
        Assert.Empty(Read(null, ("Http:Listen", "--listen", "::1")).Problems);
    }

    [Theory]
    [InlineData("no.such.thing", "1", "no.such.thing")]
    [InlineData("security.protocol", "pigeon", "security.protocol")]
    public void Kafka_settings_are_tried_out(string name, string value, string words)
    {
        var problem = Assert.Single(Read(null, ("Kafka:BootstrapServers", "--kafka", "127.0.0.1:1"), ($"Kafka:Settings:{name}", "--set", value)).Problems);
        Assert.StartsWith("Kafka:Settings: ", problem, StringComparison.Ordinal);
        Assert.Contains(words, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Secrets_are_never_shown()
    {
        var (_, problems) = Read(null, ("Store:ClickHouse", "--clickhouse", "user:hidden-password@host"), ("Http:Token", "--set", "hidden token"));
        Assert.Equal(2, problems.Count);
        Assert.DoesNotContain(problems, p => p.Contains("hidden", StringComparison.Ordinal));
    }

    [Fact]
    public void A_file_that_is_missing_or_no_JSON_is_said()
    {
        Assert.Contains("no such file", Assert.Single(Read("/nowhere/x.json").Problems), StringComparison.Ordinal);
        var file = File("""{"Http": """);
        Assert.StartsWith(file, Assert.Single(Read(file).Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_setting_has_its_option_and_every_option_its_setting()
    {
        var properties = typeof(UpOptions).GetProperties().SelectMany(s => s.PropertyType.GetProperties().Where(p => p.CanWrite).Select(p => $"{s.Name}:{p.Name}"));
        Assert.Equal(properties.Order(StringComparer.Ordinal), UpSettings.All.Select(k => k.Path).Order(StringComparer.Ordinal));
    }

    private static (UpOptions Options, IReadOnlyList<string> Problems) Read(string? file, params (string, string, string)[] options) =>
        UpConfiguration.Read(file, [.. options, ("Flows:Directory", "--flows", Path.GetTempPath())]);

    private static string File(string json)
    {
        var path = Path.Combine(new UpFolder().Folder, "settings.json");
        System.IO.File.WriteAllText(path, json);
        return path;
    }
}
