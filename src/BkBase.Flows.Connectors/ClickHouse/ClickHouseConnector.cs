using System.Collections.Concurrent;
using BkBase.Flows.Definition;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>One store and all that flows need of it. One per process and store; safe from any thread.</summary>
public sealed class ClickHouseConnector(ClickHouseOptions options, TimeProvider time) : IDisposable
{
    /// <summary>Rows are kept so long unless the flow says another time.</summary>
    public static readonly TimeSpan TtlDefault = TimeSpan.FromDays(30);

    private readonly ConcurrentDictionary<string, long> _expired = new(StringComparer.Ordinal);

    public ClickHouseOptions Options { get; } = options;

    public ClickHouseSession Session { get; } = new(options, time);

    /// <summary>The catalogue's entry for sinks of type <c>clickhouse</c>.</summary>
    public CatalogEntry<ISinkSettings> SinkEntry() => new(
        "clickhouse",
        "Writes rows to a result table of the store; makes the table and adds columns that are new.",
        "type: clickhouse\ntable: pod_cpu_1m\nttl: 30d\n",
        [
            new Key("table", KeyKind.Name, "name of the result table; its id is the biz id, '_' and this name", Required: true) { Synonyms = ["table_name"] },
            new Key("ttl", KeyKind.Duration, "how long rows are kept, in days (default 30d)") { Synonyms = ["expires"] },
            new Key("zone", KeyKind.Text, $"time zone of dtEventTime and thedate (default {TableSchema.ZoneDefault})"),
        ],
        Read);

    /// <summary>A sink for <c>bkbase.dead_letters</c>.</summary>
    public ClickHouseSink DeadLetterSink() =>
        new(new ClickHouseSinkSettings(this, DeadLetters.Table, DeadLetters.Ttl, TableSchema.ZoneDefault), _ => DeadLetters.Table);

    /// <summary>Rows written to a table so far that were older than its TTL: the store drops them.</summary>
    public long Expired(string table) => _expired.GetValueOrDefault(table);

    /// <summary>A table manager of the same store.</summary>
    public TableManager Tables() => new(Session);

    public void Dispose() => Session.Dispose();

    internal void AddExpired(string table, int rows)
    {
        if (rows > 0)
        {
            _expired.AddOrUpdate(table, rows, (_, before) => before + rows);
        }
    }

    private ClickHouseSinkSettings Read(Section section)
    {
        var zone = section.Text("zone", TableSchema.ZoneDefault);
        if (!TimeZoneInfo.TryFindSystemTimeZoneById(zone, out _) && zone != TableSchema.ZoneDefault)
        {
            section.Error("zone", DiagnosticCodes.OutOfRange, $"'{zone}' is not a time zone: write a name such as UTC or Asia/Shanghai");
        }

        var ttl = section.Duration("ttl") ?? TtlDefault;
        if (ttl < TimeSpan.FromDays(1))
        {
            section.Error("ttl", DiagnosticCodes.OutOfRange, "'ttl' is at least 1d: whole days are dropped");
        }

        return new ClickHouseSinkSettings(this, section.Name("table") ?? "", ttl, zone) { At = section.Position };
    }
}
