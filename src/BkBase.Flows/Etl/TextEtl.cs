using System.Text.Unicode;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>text: typed fields of a line.</summary>
/// <param name="TimeField">Field that holds the event time; null for the append time.</param>
public sealed record TextSettings(ExtractSettings Extract, string? TimeField, TimeUnit Unit, string? Format, double Zone) : IEtlSettings
{
    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "text",
        "typed fields of a line, by regular expression, separator or key=value",
        "{ type: text, extract: { type: separator, separator: '|', fields: { host: string, cost: float64 } } }",
        [
            new("extract", KeyKind.Section, "how the line is read", Required: true) { Keys = ExtractSettings.Keys },
            new("time_field", KeyKind.Text, "field that holds the event time; the append time when absent"),
            new("time_unit", KeyKind.Choice, "unit of a number") { Choices = EventTime.Units },
            new("time_format", KeyKind.Text, ".NET date format of a text; ISO 8601 when absent"),
            new("time_zone", KeyKind.Number, "hours east of UTC of a text without zone") { Min = -14, Max = 14 },
        ],
        Read);

    public Schema Schema { get; } = new([Schema.Time, .. Extract.Columns]);

    public static TextSettings Read(Section section)
    {
        var extract = section.Child("extract") is { } child ? ExtractSettings.Read(child, [Schema.TimeName]) : new ExtractSettings("json", null, ",", "=", []);
        var field = section.Text("time_field");
        if (field is not null && !extract.Columns.Any(c => c.Name == field && c.Type is ColumnType.Text or ColumnType.Int64))
        {
            section.Error("time_field", DiagnosticCodes.UnknownColumn, $"'{field}' is not a field of type text or int64");
            field = null;
        }

        return new TextSettings(extract, field, EventTime.Unit(section.Choice("time_unit")), section.Text("time_format"), section.Number("time_zone") ?? 0);
    }

    public IEtl Create() => new TextEtl(this);
}

/// <summary>Parser of <see cref="TextSettings"/>.</summary>
public sealed class TextEtl : IEtl
{
    private readonly TextSettings _settings;
    private readonly LineExtract _extract;
    private readonly LineExtract? _time;
    private readonly EtlOutput? _timeRow;

    public TextEtl(TextSettings settings)
    {
        _settings = settings;
        _extract = new LineExtract(settings.Extract);
        if (settings.TimeField is { } field)
        {
            // The time is read as text into a row of its own, whatever type its column has.
            var only = settings.Extract with { Columns = [.. settings.Extract.Columns.Select(c => c with { Type = ColumnType.Text })] };
            _time = new LineExtract(only);
            _timeRow = new EtlOutput(new Schema([Schema.Time, .. only.Columns]));
            TimeColumn = _timeRow.Rows.Schema.IndexOf(field);
        }
    }

    public Schema Schema => _settings.Schema;

    private int TimeColumn { get; }

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        var line = payload.TrimEnd("\0\r\n"u8);
        if (!Utf8.IsValid(line))
        {
            output.Reject(RejectReason.BadEncoding, "", "a line is UTF-8", payload);
            return;
        }

        if (!_extract.Read(line, output.Rows, 1))
        {
            output.Rows.RollbackRow();
            output.Reject(RejectReason.NoMatch, "", $"the line is not of the form '{_settings.Extract.Type}'", payload);
            return;
        }

        if (!TryTime(line, output.AppendTime, out var time))
        {
            output.Rows.RollbackRow();
            output.Reject(RejectReason.BadTime, _settings.TimeField ?? "", "no event time here", payload);
            return;
        }

        output.Rows.SetInt64(0, time);
        output.Rows.CommitRow();
    }

    private bool TryTime(ReadOnlySpan<byte> line, long appendTime, out long time)
    {
        time = appendTime;
        if (_time is null || _timeRow is null)
        {
            return true;
        }

        _time.Read(line, _timeRow.Rows, 1);
        _timeRow.Rows.CommitRow();
        var batch = _timeRow.Rows.Build(default);
        var text = ((TextColumn)batch[TimeColumn])[0];
        return _settings.Format is null && System.Buffers.Text.Utf8Parser.TryParse(text, out long number, out var used) && used == text.Length
            ? EventTime.TryMilliseconds(number, _settings.Unit, out time)
            : EventTime.TryText(text, _settings.Format, TimeSpan.FromHours(_settings.Zone), out time);
    }
}
