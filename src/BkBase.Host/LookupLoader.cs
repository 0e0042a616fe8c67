using System.Text;
using System.Text.Json;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Operators;

namespace BkBase.Host;

/// <summary>Reads the tables of <c>enrich</c>: CSV, JSON (a list of flat objects), or a query of the store.</summary>
internal sealed class LookupLoader(ClickHouseConnector clickHouse) : ILookupLoader
{
    public LookupTable Load(LookupSource source) => source.ClickHouse is null
        ? LoadAsync(source, CancellationToken.None).GetAwaiter().GetResult()
        : clickHouse.Session.WithRetriesAsync("the table of enrich", (_, stop) => LoadAsync(source, stop), CancellationToken.None).GetAwaiter().GetResult();

    public async Task<LookupTable> LoadAsync(LookupSource source, CancellationToken cancellation)
    {
        if (source.ClickHouse is { } sql)
        {
            using var buffer = new MemoryStream();
            await clickHouse.Session.QueryAsync(sql, "TSVWithNames", buffer, cancellation);
            var rows = Tsv.Parse(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
            return rows.Count == 0 ? throw new InvalidDataException($"'{sql}' is no SELECT: it gives no table") : new LookupTable([.. rows[0].Select(n => n ?? "")], [.. rows.Skip(1)]);
        }

        var file = source.File ?? throw new InvalidDataException("enrich needs 'file' or 'clickhouse'");
        var text = await File.ReadAllTextAsync(file, cancellation);
        return Path.GetExtension(file) == ".json" ? Json(file, text) : Csv(file, text);
    }

    internal static LookupTable Csv(string file, string text)
    {
        var rows = CsvRows(text);
        if (rows.Count == 0)
        {
            throw new InvalidDataException($"{file} is empty; its first line names the columns");
        }

        var wrong = rows.FindIndex(r => r.Length != rows[0].Length);
        return wrong < 0
            ? new LookupTable([.. rows[0].Select(n => n ?? "")], [.. rows.Skip(1)])
            : throw new InvalidDataException($"{file}: row {wrong + 1} has {rows[wrong].Length} values, the header names {rows[0].Length} columns");
    }

    private static LookupTable Json(string file, string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            var objects = document.RootElement.EnumerateArray().ToList();
            var columns = objects.SelectMany(o => o.EnumerateObject().Select(p => p.Name)).Distinct(StringComparer.Ordinal).ToList();
            return new LookupTable(columns, [.. objects.Select(o => columns.Select(c => Value(o, c)).ToArray())]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException($"{file} is not a JSON list of flat objects: {e.Message}", e);
        }
    }

    private static string? Value(JsonElement row, string column) => !row.TryGetProperty(column, out var value) || value.ValueKind == JsonValueKind.Null
        ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText();

    // RFC 4180: quotes double inside quotes, a quoted value may hold commas and line ends.
    private static List<string?[]> CsvRows(string text)
    {
        var rows = new List<string?[]>();
        var row = new List<string?>();
        var value = new StringBuilder();
        var quoted = false;
        for (var i = 0; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '"' when quoted && i + 1 < text.Length && text[i + 1] == '"':
                    value.Append(text[++i]);
                    break;
                case '"':
                    quoted = !quoted;
                    break;
                case ',' when !quoted:
                    row.Add(value.ToString());
                    value.Clear();
                    break;
                case '\n' when !quoted:
                    EndRow();
                    break;
                case '\r' when !quoted:
                    break;
                default:
                    value.Append(text[i]);
                    break;
            }
        }

        EndRow();
        return rows;

        void EndRow()
        {
            if (row.Count > 0 || value.Length > 0)
            {
                row.Add(value.ToString());
                rows.Add([.. row]);
            }

            row.Clear();
            value.Clear();
        }
    }
}
