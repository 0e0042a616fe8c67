using System.Text;
using System.Text.Json;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>A JSON value as objects, read by Utf8JsonReader in the most obvious way: what the product's parsers are compared with.</summary>
internal sealed class PlainJson
{
    public JsonTokenType Type { get; private set; }

    /// <summary>The text of a string; the bytes as written of a number, true, false, null.</summary>
    public string Text { get; private set; } = "";

    public List<PlainJson> Elements { get; } = [];

    public List<(string Name, PlainJson Value)> Properties { get; } = [];

    public bool IsObject => Type == JsonTokenType.StartObject;

    public bool IsArray => Type == JsonTokenType.StartArray;

    public bool IsNumber => Type == JsonTokenType.Number;

    public bool IsText => Type == JsonTokenType.String;

    /// <summary>The properties that count: of a repeated name the last, where it stands.</summary>
    public IEnumerable<(string Name, PlainJson Value)> Last =>
        Properties.Where((p, i) => !Properties.Skip(i + 1).Any(later => later.Name == p.Name));

    /// <summary>A property, or null when it is missing or null.</summary>
    public PlainJson? this[string name] =>
        Properties.LastOrDefault(p => p.Name == name).Value is { Type: not JsonTokenType.Null } value ? value : null;

    /// <summary>The value of a record, or why it has none.</summary>
    public static (PlainJson? Root, string? Reason) Read(ReadOnlySpan<byte> payload, int levelsMax = 64)
    {
        payload = payload.TrimEnd("\0\n\r\t "u8);
        try
        {
            new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(payload);
        }
        catch (ArgumentException)
        {
            return (null, RejectReason.BadEncoding);
        }

        var reader = new Utf8JsonReader(payload, new JsonReaderOptions { MaxDepth = 1000 });
        var (open, names, root) = (new Stack<PlainJson>(), new Stack<string>(), (PlainJson?)null);
        try
        {
            while (reader.Read())
            {
                switch (reader.TokenType)
                {
                    case JsonTokenType.PropertyName:
                        names.Push(reader.GetString()!);
                        continue;
                    case JsonTokenType.EndObject or JsonTokenType.EndArray:
                        open.Pop();
                        continue;
                }

                var value = new PlainJson { Type = reader.TokenType };
                var isOpen = value.IsObject || value.IsArray;
                if (isOpen && open.Count == levelsMax)
                {
                    return (null, RejectReason.TooDeep);
                }

                if (!isOpen)
                {
                    value.Text = value.IsText ? reader.GetString()! : Encoding.UTF8.GetString(reader.ValueSpan);
                }

                if (!open.TryPeek(out var parent))
                {
                    root = value;
                }
                else if (parent.IsObject)
                {
                    parent.Properties.Add((names.Pop(), value));
                }
                else
                {
                    parent.Elements.Add(value);
                }

                if (isOpen)
                {
                    open.Push(value);
                }
            }
        }
        catch (JsonException)
        {
            return (null, RejectReason.NotJson);
        }
        catch (InvalidOperationException)
        {
            return (null, RejectReason.BadEncoding);
        }

        return (root, null);
    }
}
