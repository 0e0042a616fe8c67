using System.Text.Json.Nodes;

namespace BkBase.Flows.Definition;

/// <summary>The JSON Schema of flow files, from the same catalogue that reads them: editors complete keys with it.</summary>
public static class JsonSchema
{
    public static JsonObject Of(FlowCatalog catalog)
    {
        var root = Mapping(FlowReader.FlowKeys);
        var properties = root["properties"]!.AsObject();
        properties["sources"] = ListOf(Choice(catalog.Sources.Values, FlowReader.SourceKeys, entry =>
            entry["properties"]!.AsObject()["etl"] = Choice(catalog.Etls.Values, [FlowReader.TypeKey], _ => { })));
        properties["nodes"] = ListOf(Choice(catalog.Nodes.Values, FlowReader.NodeKeys, _ => { }));
        properties["sinks"] = ListOf(Choice(catalog.Sinks.Values, FlowReader.SinkKeys, _ => { }));
        root.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        root.Insert(1, "title", "A flow of BkBase.Flows");
        return root;
    }

    private static JsonObject ListOf(JsonObject item) => new() { ["type"] = "array", ["items"] = item };

    private static JsonObject Choice<T>(IEnumerable<CatalogEntry<T>> entries, IReadOnlyList<Key> common, Action<JsonObject> refine)
    {
        var choices = new JsonArray();
        foreach (var entry in entries.OrderBy(e => e.Name, StringComparer.Ordinal))
        {
            var mapping = Mapping([.. common, .. entry.Keys]);
            mapping["properties"]!.AsObject()["type"] = new JsonObject { ["const"] = entry.Name };
            mapping.Insert(0, "description", entry.Description);
            refine(mapping);
            choices.Add(mapping);
        }

        return new JsonObject { ["oneOf"] = choices };
    }

    private static JsonObject Mapping(IReadOnlyList<Key> keys)
    {
        var properties = new JsonObject();
        foreach (var key in keys)
        {
            foreach (var word in (IEnumerable<string>)[key.Name, .. key.Synonyms])
            {
                properties[word] = Value(key);
            }
        }

        var mapping = new JsonObject { ["type"] = "object", ["properties"] = properties, ["additionalProperties"] = keys.Count == 0 };
        if (keys.Any(k => k.Required))
        {
            mapping["required"] = new JsonArray([.. keys.Where(k => k.Required).Select(k => (JsonNode)k.Name)]);
        }

        return mapping;
    }

    private static JsonObject Value(Key key)
    {
        JsonObject value = key.Kind switch
        {
            KeyKind.Integer => Number("integer", key),
            KeyKind.Number => Number("number", key),
            KeyKind.Boolean => new() { ["type"] = "boolean" },
            KeyKind.Name => new() { ["type"] = "string", ["pattern"] = "^[a-z][a-z0-9_]{0,49}$" },
            KeyKind.Duration => new() { ["type"] = "string", ["pattern"] = @"^\d+(\.\d+)?(ms|s|m|h|d)$" },
            KeyKind.Size => new() { ["type"] = new JsonArray("string", "integer"), ["pattern"] = "^[0-9]+(B|KiB|MiB|GiB)?$" },
            KeyKind.Choice => new() { ["enum"] = new JsonArray([.. key.Choices.Select(c => (JsonNode)c)]) },
            KeyKind.Texts => new() { ["oneOf"] = new JsonArray(Scalar(), ListOf(Scalar())) },
            KeyKind.TextMap => new() { ["type"] = "object", ["additionalProperties"] = Scalar() },
            KeyKind.Section => Mapping(key.Keys),
            KeyKind.Sections => ListOf(Mapping(key.Keys)),
            KeyKind.Open => new() { ["type"] = "object" },
            _ => Scalar(),
        };
        value["description"] = key.Description;
        return value;
    }

    private static JsonObject Scalar() => new() { ["type"] = new JsonArray("string", "number", "boolean") };

    private static JsonObject Number(string type, Key key)
    {
        var number = new JsonObject { ["type"] = type };
        if (double.IsFinite(key.Min))
        {
            number["minimum"] = key.Min;
        }

        if (double.IsFinite(key.Max))
        {
            number["maximum"] = key.Max;
        }

        return number;
    }
}
