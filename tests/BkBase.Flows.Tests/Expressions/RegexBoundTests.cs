using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Expressions;
using BkBase.Flows.Records;
using BkBase.Flows.Tests.Operators;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Tests.Expressions;

/// <summary>Patterns that explode in backtracking engines: here their time grows with the text alone. Without that these tests do not end.</summary>
public sealed class RegexBoundTests
{
    private static readonly string Long = new string('a', 50_000) + "!";

    public static TheoryData<string> Exploding => ["^(a+)+$", "^(a|aa)+$", "^(a|a?)+$", "^(.*a){12}$", "^([a-z]+)*b", "(x+x+)+y"];

    [Theory]
    [MemberData(nameof(Exploding))]
    public void Conditions_and_extractions_end(string pattern)
    {
        var schema = new Schema(Schema.Time, new Field("line", ColumnType.Text));
        var batch = Batches.Of(schema, [1L, Long], [2L, Long]);
        var bag = new DiagnosticBag("f.yaml");
        var match = Expression.Parse(new Located($"regexp_match(line, '{pattern}')", new Position(1, 1)), bag).CompileCondition(schema, bag);
        var extract = Expression.Parse(new Located($"coalesce(regexp_extract(line, '({pattern})', 1), '') = 'x'", new Position(1, 1)), bag).CompileCondition(schema, bag);
        Assert.Empty(bag.Sorted());
        Assert.Equal(0, match!.Select(batch, new int[2]));
        Assert.Equal(0, extract!.Select(batch, new int[2]));
    }

    [Theory]
    [MemberData(nameof(Exploding))]
    public void Lines_end_and_are_refused(string pattern)
    {
        var bag = new DiagnosticBag("f.yaml");
        var stream = new YamlStream();
        stream.Load(new StringReader($"extract:\n  type: regexp\n  pattern: '(?<x>{pattern})'\n  fields: {{ x: string }}\n"));
        var etl = TextSettings.Read(new Section((YamlMappingNode)stream.Documents[0].RootNode, TextSettings.Entry.Keys, bag, "etl")).Create();
        Assert.Empty(bag.Sorted());
        var output = new EtlOutput(etl.Schema);
        output.BeginRecord(0, 0, 1);
        etl.Parse(System.Text.Encoding.UTF8.GetBytes(Long), output);
        Assert.Equal(RejectReason.NoMatch, Assert.Single(output.Rejections).Reason);
    }
}
