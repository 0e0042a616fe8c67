using System.IO.Compression;
using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>The clean format: BK-Base's own cases by their numbers (C97 to C113b).</summary>
public sealed class CleanTests
{
    private const string Now = "{ time_field_name: localTime }";

    [Theory]
    [InlineData("{ time_field_name: t, time_format: yyyyMMddHHmmss, timestamp_len: 0, timezone: 8 }", "20201126135954", 1606370394000)]
    [InlineData("{ time_field_name: t, time_format: yyyyMMddHHmmss, timestamp_len: 0, timezone: 8, time_round: 60000 }", "20201126135954", 1606370340000)]
    [InlineData("{ time_field_name: t, time_format: yyyyMMddHHmmss }", "20201126135954", 1606370394000)]
    [InlineData("{ time_field_name: t, timestamp_len: 13 }", "1606370394123", 1606370394123)]
    [InlineData("{ time_field_name: t, timestamp_len: 10 }", " 1606370394 ", 1606370394000)]
    [InlineData("{ time_field_name: t, timestamp_len: 8 }", "26772839", 1606370340000)]
    [InlineData("{ time_field_name: t, timestamp_len: 16 }", "1606370394123456", 1606370394123)]
    [InlineData("{ time_field_name: t, timestamp_len: 9 }", "16063703940", 1606370394000)]
    public void C97_times(string conf, string text, long time) => Assert.Equal(time, One(Assigned("t"), $"{{\"t\":\"{text}\"}}", conf)["time"]);

    [Theory]
    [InlineData("{ time_field_name: t, time_format: yyyyMMddHHmmss, timestamp_len: 0 }")]
    [InlineData("{ time_field_name: t, timestamp_len: 13 }")]
    public void C98_a_text_that_is_no_time_is_refused(string conf)
    {
        var (rows, refused) = Run(Assigned("t"), """{"t":"data"}""", conf);
        Assert.Empty(rows);
        Assert.Equal((RejectReason.BadTime, "t"), (Assert.Single(refused).Reason, refused[0].Path));
        Assert.Equal("data", Encoding.UTF8.GetString(refused[0].Sample.Span));
    }

    [Theory]
    [InlineData("{ time_field_name: t, time_format: '', timestamp_len: -1 }")]
    [InlineData("{ time_field_name: t }")]
    public void C99_a_time_without_format_and_length_is_a_finding(string conf) =>
        Assert.Equal(DiagnosticCodes.MissingKey, Assert.Single(Findings(Assigned("t"), conf)).Code);

    [Fact]
    public void C100_nested_iterate_and_split()
    {
        const string Tree = """
            {"label":"a","args":[],"type":"fun","method":"from_json","next":{"label":null,"type":"branch","name":"","next":[
              {"subtype":"assign_obj","label":"b","type":"assign","assign":[{"assign_to":"_worldid_","type":"int","key":"_worldid_"},{"assign_to":"_time_","type":"string","key":"_time_"}],"next":null},
              {"subtype":"access_obj","label":"c","type":"access","key":"_value_","next":{"label":"d","args":[],"type":"fun","method":"iterate","next":{"args":["|"],"type":"fun","method":"split","next":
                {"subtype":"assign_pos","type":"assign","assign":[{"assign_to":"id","type":"long","index":"0"},{"assign_to":"name","type":"string","index":"1"},{"assign_to":"whole","type":"bigint","index":"2"},{"assign_to":"exact","type":"bigdecimal","index":"3"},{"assign_to":"last","type":"bigint","index":"5"}],"next":null}}}}]}}
            """;
        const string Conf = """{"timestamp_len":0,"encoding":"UTF8","time_format":"yyyy-MM-dd HH:mm:ss","timezone":8,"output_field_name":"timestamp","time_field_name":"_time_"}""";
        var (rows, refused) = Run(
            Tree, """{"_time_":"2018-03-14 11:05:16","_worldid_":-1,"_value_":["4|string4|3232|43452000||82324989420000000332","5|string5|12211111111111111122323241|11111123230090909.09883|3333|-929283837"]}""", Conf);
        Assert.Empty(refused);
        Assert.Equal([4L, 5L], rows.Select(r => r["id"]));
        Assert.Equal([1, 2], rows.Select(r => r["_iteration_idx"]));
        Assert.Equal((1520996716000L, 1520996716000L, -1), (rows[0]["time"], rows[1]["timestamp"], rows[1]["_worldid_"]));
        Assert.Equal(("3232", "12211111111111111122323241", "11111123230090909.09883", "-929283837"), (rows[0]["whole"], rows[1]["whole"], rows[1]["exact"], rows[1]["last"]));
    }

    [Fact]
    public void C101_objects_as_json()
    {
        var row = One(
            "{ type: fun, method: from_json, next: { type: assign, subtype: assign_json, assign: [{ key: k1, assign_to: one }, { key: __all_keys__, assign_to: all }, { key: none, assign_to: none }] } }",
            """{ "k1": {"a": 123, "b": "x\n"}, "k2": [1.50, null, true] }""");
        Assert.Equal("""{"a":123,"b":"x\n"}""", row["one"]);
        Assert.Equal("""{"k1":{"a":123,"b":"x\n"},"k2":[1.50,null,true]}""", row["all"]);
        Assert.Null(row["none"]);
        var (rows, refused) = Run("{ type: fun, method: from_json, next: { type: assign, subtype: assign_json, assign: [{ key: k1, assign_to: one }] } }", """{"k1":5}""");
        Assert.Null(Assert.Single(rows)["one"]);
        Assert.Equal((RejectReason.WrongType, "k1"), (Assert.Single(refused).Reason, refused[0].Path));
    }

    [Fact]
    public void C102_what_is_not_json_makes_no_rows()
    {
        var (rows, refused) = Run(Assigned("t"), "this is data");
        Assert.Empty(rows);
        Assert.Equal(RejectReason.NotJson, Assert.Single(refused).Reason);
    }

    [Theory]
    [InlineData("from_json", """{"key1":123,"key2":"test_def"}""")]
    [InlineData("from_url", "key1=123&key2=test_def")]
    [InlineData("from_url", "key1=0&&key1=123&key2=test%5fdef")]
    public void C103_objects_from_json_and_url(string method, string payload)
    {
        var row = One($"{{ type: fun, method: {method}, next: {{ type: assign, subtype: assign_obj, assign: [{{ key: key1, assign_to: a, type: int }}, {{ key: key2, assign_to: b }}] }} }}", payload);
        Assert.Equal((123, "test_def"), (row["a"], row["b"]));
    }

    [Theory]
    [InlineData("key1=%zz")]
    [InlineData("key1=a%4")]
    [InlineData("key1=%ff")]
    public void C104_a_malformed_escape_is_refused(string payload)
    {
        var (rows, refused) = Run("{ type: fun, method: from_url, next: { type: assign, subtype: assign_obj, assign: [{ key: key1, assign_to: a }] } }", payload);
        Assert.Empty(rows);
        Assert.Equal(RejectReason.BadEncoding, Assert.Single(refused).Reason);
    }

    [Theory]
    [InlineData("['|', 3]", "1|2|xxx_worldid|something|others", new[] { "1", "2", "xxx_worldid|something|others", null })]
    [InlineData("['|']", "1||3|", new[] { "1", "", "3", "" })]
    [InlineData("['|x']", "1|2", new[] { "1", "2", null, null })]
    [InlineData("['\\n']", "1\n2", new[] { "1", "2", null, null })]
    [InlineData("['，', 1]", "1，2", new[] { "1，2", null, null, null })]
    public void C105_split(string args, string payload, string?[] pieces) =>
        Assert.Equal(pieces, Pieces($"{{ type: fun, method: split, args: {args}, next: {{ type: assign, subtype: assign_pos, assign: {Positions} }} }}", payload));

    [Fact]
    public void C106_splitkv()
    {
        const string Next = "next: { type: assign, subtype: assign_obj, assign: [{ key: key1, assign_to: a }, { key: key2, assign_to: b }] }";
        var row = One($"{{ type: fun, method: splitkv, {Next} }}", "key1:123,key2:test_def");
        Assert.Equal(("123", "test_def"), (row["a"], row["b"]));
        row = One($"{{ type: fun, method: splitkv, args: ['; ', '='], {Next} }}", "key1=1=2; key2; =; key2=x");
        Assert.Equal(("1=2", "x"), (row["a"], row["b"]));
    }

    [Theory]
    [InlineData("[',', ':', test_abc, test_bca]", "key:test_bca")]
    [InlineData("[test_abc, test_bca, ',']", "keytest_bca")]
    public void C107_replace(string args, string text) =>
        Assert.Equal(text, One($"{{ type: fun, method: replace, args: {args}, next: {{ type: assign, subtype: assign_value, assign: {{ assign_to: a }} }} }}", "key,test_abc")["a"]);

    [Theory]
    [InlineData("a123b", "123")]
    [InlineData("nothing", null)]
    public void C108_regex_extract(string payload, string? data) =>
        Assert.Equal(data, One(@"{ type: fun, method: regex_extract, args: [{ regexp: 'a(?<data>\d+)b', keys: [data] }], next: { type: assign, subtype: assign_obj, assign: [{ key: data, assign_to: data }] } }", payload)["data"]);

    [Fact]
    public void C109_iterate()
    {
        const string Each = "{ type: fun, method: from_json, next: { type: access, subtype: access_obj, key: v, next: { type: fun, method: iterate, args: [n], next: { type: assign, subtype: assign_value, assign: { assign_to: a } } } } }";
        var (rows, refused) = Run(Each, """{"v":["testvalue1","testvalue2"]}""");
        Assert.Empty(refused);
        Assert.Equal(["testvalue1", "testvalue2"], rows.Select(r => r["a"]));
        Assert.Equal([1, 2], rows.Select(r => r["n"]));

        (rows, refused) = Run(Each, """{"v":"scalar"}""");
        Assert.Empty(rows);
        Assert.Equal((RejectReason.WrongType, "v"), (Assert.Single(refused).Reason, refused[0].Path));

        // All fail: EmptyEtlResultError in BK-Base; here each says why and no row is left.
        const string Keyed = "{ type: fun, method: from_json, next: { type: access, subtype: access_obj, key: v, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_obj, assign: [{ key: k, assign_to: a }] } } } }";
        (rows, refused) = Run(Keyed, """{"v":["testvalue1","testvalue2"]}""");
        Assert.Empty(rows);
        Assert.Equal(["v[0]", "v[1]"], refused.Select(r => r.Path));

        (rows, refused) = Run(Keyed, """{"v":[{"k":1},5,{"k":3}]}""");
        Assert.Equal(["1", "3"], rows.Select(r => r["a"]));
        Assert.Equal([1, 2], rows.Select(r => r["_iteration_idx"]));
        Assert.Equal(("v[1]", "5"), (Assert.Single(refused).Path, Encoding.UTF8.GetString(refused[0].Sample.Span)));
    }

    [Fact]
    public void C110_items()
    {
        var (rows, _) = Run("{ type: fun, method: from_json, next: { type: fun, method: items, args: [k, dimension], next: { type: assign, subtype: assign_value, assign: { assign_to: v } } } }", """{"k1":"k1_value","k2":"k2_value"}""");
        Assert.Equal([("k1", "k1_value"), ("k2", "k2_value")], rows.Select(r => ((string)r["k"]!, (string)r["v"]!)));
        var (entries, refused) = Run("{ type: fun, method: from_json, next: { type: fun, method: items, args: [], next: { type: branch, next: [{ type: assign, subtype: assign_obj, assign: [{ key: key, assign_to: k }] }, { type: access, subtype: access_obj, key: value, next: { type: assign, subtype: assign_obj, assign: [{ key: x, assign_to: x, type: double }] } }] } } }", """{"k1":{"x":1},"k2":3,"k3":{"x":"y"}}""");
        Assert.Equal([("k1", (object?)1d), ("k3", null)], entries.Select(r => ((string)r["k"]!, r["x"])));
        Assert.Equal(["k2.value", "k3.value.x"], refused.Select(r => r.Path));
    }

    [Fact]
    public void C111_pop()
    {
        Assert.Equal("abc", One("{ type: fun, method: from_json_list, next: { type: fun, method: pop, next: { type: assign, subtype: assign_pos, assign: [{ index: 0, assign_to: a }] } } }", """["123","abc"]""")["a"]);
        Assert.Equal(DiagnosticCodes.MissingKey, Assert.Single(Findings("{ type: fun, method: from_json_list, next: { type: fun, method: pop } }")).Code);
        Assert.Equal(RejectReason.WrongType, Assert.Single(Run("{ type: fun, method: from_json_list, next: { type: fun, method: pop, next: { type: assign, subtype: assign_pos, assign: [{ index: 0, assign_to: a }] } } }", "[]").Refused).Reason);
    }

    [Fact]
    public void C112_zip()
    {
        const string Zip = "{ type: fun, method: from_json, next: { type: fun, method: zip, args: [list1, list2], next: { type: fun, method: iterate, next: { type: assign, subtype: assign_pos, assign: [{ index: 0, assign_to: a }, { index: 1, assign_to: b }] } } } }";
        var (rows, _) = Run(Zip, """{"list1":["k1","k2","k3","k11"],"list2":["k4","k5","k6"]}""");
        Assert.Equal([("k1", "k4"), ("k2", "k5"), ("k3", "k6")], rows.Select(r => ((string)r["a"]!, (string)r["b"]!)));
        Assert.Equal(RejectReason.WrongType, Assert.Single(Run(Zip, """{"list1":["k1"]}""").Refused).Reason);
    }

    [Theory]
    [InlineData("[1,2,3,4]", "2")]
    [InlineData("[6,2,3,4]", "3")]
    [InlineData("[11,2,3,4]", "4")]
    public void C113_selector(string payload, string test)
    {
        static string Branch(int index) => $"{{ type: assign, subtype: assign_pos, assign: [{{ index: {index}, assign_to: test }}] }}";
        Assert.Equal(test, One($"{{ type: fun, method: from_json_list, next: {{ type: fun, method: selector, args: [{{ op: less, lval: $0, rval: 5 }}, {{ op: less, lval: $0, rval: '10' }}], next: [{Branch(1)}, {Branch(2)}, {Branch(3)}] }} }}", payload)["test"]);
    }

    [Theory]
    [InlineData("[1,2,3,4]", "1,null,1,1;1,null,2,2;1,null,3,3;1,null,4,4")]
    [InlineData("[6,2,3,4]", "null,6,6,1;null,6,2,2;null,6,3,3;null,6,4,4")]
    [InlineData("[11,2,3,4]", "11,null,null,null")]
    public void C113b_selector_with_iterations(string payload, string expected)
    {
        const string Each = """{"args":[],"next":{"subtype":"assign_pos","next":null,"type":"assign","assign":[{"assign_to":"a","type":"string","index":"0"}],"label":"label1341b7"},"result":"bi","type":"fun","method":"iterate"}""";
        static string Test(string name) => $$"""{"type":"assign","subtype":"assign_pos","assign":[{"index":0,"assign_to":"{{name}}"}]}""";
        var tree = $$$"""{"type":"fun","method":"from_json_list","next":{"type":"fun","args":[{"op":"less","lval":"$0","rval":5},{"op":"less","lval":"$0","rval":10}],"method":"selector","next":[{"type":"branch","next":[{{{Each}}},{{{Test("test")}}}]},{"type":"branch","next":[{{{Test("test1")}}},{{{Each}}}]},{{{Test("test")}}}]}}""";
        var (rows, refused) = Run(tree, payload);
        Assert.Empty(refused);
        Assert.Equal(expected, string.Join(';', rows.Select(r => string.Join(',', new[] { "test", "test1", "a", "_iteration_idx" }.Select(c => r[c] ?? "null")))));
        Assert.Equal(["time", "test", "test1", "a", "_iteration_idx"], rows[0].Keys);
    }

    [Fact]
    public void Bytes_in_another_encoding_and_compressed()
    {
        using var zipped = new MemoryStream();
        using (var zip = new GZipStream(zipped, CompressionMode.Compress, leaveOpen: true))
        {
            zip.Write(CodePagesEncodingProvider.Instance.GetEncoding("GBK")!.GetBytes("""{"t":"中文"}"""));
        }

        const string Conf = "{ time_field_name: localTime, encoding: GBK, compressed: 1 }";
        var (rows, refused) = Run(Assigned("t"), zipped.ToArray(), Conf);
        Assert.Empty(refused);
        Assert.Equal("中文", Assert.Single(rows)["t"]);
        Assert.Equal(RejectReason.BadEncoding, Assert.Single(Run(Assigned("t"), "{}"u8.ToArray(), Conf).Refused).Reason);
        Assert.Equal(RejectReason.BadEncoding, Assert.Single(Run(Assigned("t"), [0x81], "{ time_field_name: localTime, encoding: GBK }").Refused).Reason);
        Assert.Equal(RejectReason.BadEncoding, Assert.Single(Run(Assigned("t"), [0x81], Now).Refused).Reason);
    }

    internal const string Positions = "[{ index: 0, assign_to: a }, { index: 1, assign_to: b }, { index: 2, assign_to: c }, { index: 3, assign_to: d }]";

    internal static string Assigned(string name, string type = "string") =>
        $"{{ type: fun, method: from_json, next: {{ type: assign, subtype: assign_obj, assign: [{{ key: {name}, assign_to: {name}, type: {type} }}] }} }}";

    internal static string Yaml(string tree, string conf = Now, string more = "") => $"{{ type: clean, conf: {conf}, extract: {tree} {more} }}";

    internal static IReadOnlyList<Diagnostic> Findings(string tree, string conf = Now, string more = "")
    {
        var bag = new DiagnosticBag("f.yaml");
        EtlTests.Settings(Yaml(tree, conf, more), bag);
        return bag.Sorted();
    }

    internal static (List<Dictionary<string, object?>> Rows, Rejection[] Refused) Run(string tree, string payload, string conf = Now, string more = "") =>
        Run(tree, Encoding.UTF8.GetBytes(payload), conf, more);

    internal static Dictionary<string, object?> One(string tree, string payload, string conf = Now, string more = "")
    {
        var (rows, refused) = Run(tree, payload, conf, more);
        Assert.Empty(refused);
        return Assert.Single(rows);
    }

    private static IEnumerable<string?> Pieces(string tree, string payload)
    {
        var row = One(tree, payload);
        return ((string[])["a", "b", "c", "d"]).Select(c => (string?)row[c]);
    }

    private static (List<Dictionary<string, object?>> Rows, Rejection[] Refused) Run(string tree, byte[] payload, string conf, string more = "")
    {
        var bag = new DiagnosticBag("f.yaml");
        var etl = EtlTests.Settings(Yaml(tree, conf, more), bag).Create();
        Assert.DoesNotContain(bag.Sorted(), d => d.Severity == Severity.Error);
        var output = new EtlOutput(etl.Schema);
        var found = EtlTests.Parse(etl, payload, output);
        return (found.Rows, found.Refused);
    }
}
