using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>Sinks, of one flow or of several, that write one table but do not agree what it looks like.</summary>
internal static class TableConflicts
{
    public static IEnumerable<Diagnostic> Of(IEnumerable<FlowDefinition> flows)
    {
        var writers = flows.SelectMany(f => f.Sinks.Where(s => s.Settings is ClickHouseSinkSettings)
            .Select(s => new Writer(f, s, (ClickHouseSinkSettings)s.Settings)));
        foreach (var table in writers.GroupBy(w => w.Settings.TableOf(w.Flow.Biz), StringComparer.Ordinal))
        {
            var first = table.First();
            foreach (var other in table.Skip(1))
            {
                if (Difference(first, other) is { } difference)
                {
                    yield return new Diagnostic(other.Flow.File, other.Settings.At.Line, other.Settings.At.Column, DiagnosticCodes.Conflict,
                        $"table '{table.Key}' is written by {first.Flow.File}:{first.Settings.At.Line} too, with another schema: {difference}; make the columns alike or give the sinks different tables");
                }
            }
        }
    }

    private static string? Difference(Writer a, Writer b)
    {
        foreach (var field in b.Sink.Schema.Fields)
        {
            var at = a.Sink.Schema.IndexOf(field.Name);
            if (at < 0)
            {
                return $"column '{field.Name}' is here only";
            }

            var other = a.Sink.Schema[at];
            if (other.Role != field.Role)
            {
                return $"column '{field.Name}' is a {Word(field.Role)} here, a {Word(other.Role)} there";
            }

            if (TableSchema.TypeOf(other) != TableSchema.TypeOf(field))
            {
                return $"column '{field.Name}' is {TableSchema.TypeOf(field)} here, {TableSchema.TypeOf(other)} there";
            }
        }

        return a.Sink.Schema.Fields.FirstOrDefault(f => b.Sink.Schema.IndexOf(f.Name) < 0) is { } missing ? $"column '{missing.Name}' is there only"
            : a.Settings.Ttl != b.Settings.Ttl ? $"ttl is {b.Settings.Ttl.TotalDays:0}d here, {a.Settings.Ttl.TotalDays:0}d there"
            : null;
    }

    private static string Word(Enum word) => word.ToString().ToLowerInvariant();

    private sealed record Writer(FlowDefinition Flow, SinkDefinition Sink, ClickHouseSinkSettings Settings);
}
