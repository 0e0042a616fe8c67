using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>The clean format: rows, conversions, what is done to rows, and findings in its configuration.</summary>
public sealed class CleanRowsTests
{
    private const string Each = """
        { type: fun, method: from_json, next: { type: branch, next: [
          { type: assign, subtype: assign_obj, assign: [{ key: host, assign_to: host, is_dimension: true }, { key: ts, assign_to: ts, type: long }] },
          { type: access, subtype: access_obj, key: v, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_obj, assign: [{ key: a, assign_to: a, type: int }, { key: b, assign_to: b, type: int }, { key: s, assign_to: s }] } } } ] } }
        """;

    private const string Conf = "{ time_field_name: ts, timestamp_len: 10 }";

    [Theory]
    [InlineData("int", "\" 12.9 \"", 12)]
    [InlineData("int", "\"\\\"7\\\"\"", 7)]
    [InlineData("int", "-1.9", -1)]
    [InlineData("int", "\".5\"", 0)]
    [InlineData("int", "\"NULL\"", null)]
    [InlineData("int", "\" \"", null)]
    [InlineData("long", "1e3", 1000L)]
    [InlineData("long", "9007199254740993", 9007199254740993L)]
    [InlineData("double", "\"1.5\"", 1.5)]
    [InlineData("string", "1.50", "1.50")]
    [InlineData("string", "true", "true")]
    [InlineData("string", "[1, {\"x\": \"y\"}]", "[1,{\"x\":\"y\"}]")]
    [InlineData("bigint", "\"+123456789012345678901234567890.7\"", "+123456789012345678901234567890")]
    [InlineData("bigdecimal", "0.10", "0.10")]
    [InlineData("int", "null", null)]
    public void Values_are_converted(string type, string json, object? expected) =>
        Assert.Equal(expected, CleanTests.One(CleanTests.Assigned("x", type), $"{{\"x\":{json}}}")["x"]);

    [Theory]
    [InlineData("int", "\"1e3\"")]
    [InlineData("int", "3000000000")]
    [InlineData("long", "1e30")]
    [InlineData("long", "true")]
    [InlineData("double", "\"NaN\"")]
    [InlineData("double", "{}")]
    [InlineData("bigint", "\"12x\"")]
    [InlineData("bigdecimal", "\"1.2.3\"")]
    public void A_value_that_does_not_fit_is_null_and_counted(string type, string json)
    {
        var (rows, refused) = CleanTests.Run(CleanTests.Assigned("x", type), $"{{\"x\":{json}}}");
        Assert.Null(Assert.Single(rows)["x"]);
        Assert.Equal((RejectReason.WrongType, "x"), (Assert.Single(refused).Reason, refused[0].Path));
    }

    [Fact]
    public void Outer_columns_stand_in_every_row_and_a_bad_element_costs_itself()
    {
        var (rows, refused) = CleanTests.Run(Each, """{"host":"h","ts":1700000000,"v":[{"a":1},"x",{"a":"y","b":2},null]}""", Conf);
        Assert.Equal([("h", (object?)1, null), ("h", null, 2)], rows.Select(r => ((string)r["host"]!, r["a"], (int?)r["b"])));
        Assert.Equal(["v[1]", "v[2].a", "v[3]"], refused.Select(r => r.Path));
        Assert.All(rows, r => Assert.Equal(1_700_000_000_000L, r["time"]));
    }

    [Fact]
    public void An_unreadable_time_costs_its_row_only()
    {
        const string Tree = "{ type: fun, method: from_json_list, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_obj, assign: [{ key: t, assign_to: t }] } } }";
        var (rows, refused) = CleanTests.Run(Tree, """[{"t":"2020-01-02 03:04:05"},{"t":"soon"},{"t":"2020-01-02 03:04:06.5"},{}]""", "{ time_field_name: t, time_format: 'yyyy-MM-dd HH:mm:ss', timezone: 0 }");
        Assert.Equal([1_577_934_245_000L, 1_577_934_246_000L], rows.Select(r => r["time"]));
        Assert.Equal([(RejectReason.BadTime, "[1].t"), (RejectReason.BadTime, "[3].t")], refused.Select(r => (r.Reason, r.Path)));
    }

    [Theory]
    [InlineData("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2021-05-26T17:08:50.5+08:00", 1622020130005)]
    [InlineData("yyyy-MM-dd'T'HH:mm:ssZ", "2021-05-26T09:08:50+0000", 1622020130000)]
    [InlineData("yyyy-MM-dd HH:mm:ss", "2021-5-26 17:8:50 and more", 1622020130000)]
    [InlineData("yyyyMMddHHmmssSSS", "20210526170850123", 1622020130123)]
    [InlineData("dd/MMM/yyyy:HH:mm:ss", "26/May/2021:17:08:50", 1622020130000)]
    [InlineData("MM/dd/yy hh:mm:ss a", "05/26/21 05:08:50 PM", 1622020130000)]
    [InlineData("yyyy年MM月dd日 HH时mm分ss秒", "2021年05月26日 17时08分50秒", 1622020130000)]
    [InlineData("EEE MMM dd HH:mm:ss yyyy", "Wed May 26 17:08:50 2021", 1622020130000)]
    [InlineData("yyyy-MM-dd HH:mm:ss.SSSSSS", "2021-05-26 17:08:50.123456", 1622020130123)]
    public void Java_patterns(string pattern, string text, long time) =>
        Assert.Equal(time, CleanTests.One(CleanTests.Assigned("t"), $"{{\"t\":\"{text}\"}}", $"{{ time_field_name: t, time_format: \"{pattern}\" }}")["time"]);

    [Theory]
    [InlineData("2021-13-26 17:08:50")]
    [InlineData("2021-02-30 17:08:50")]
    [InlineData("2021-05-26 24:08:50")]
    [InlineData("2021-05-26")]
    [InlineData("1960-05-26 17:08:50")]
    [InlineData("")]
    public void What_is_no_date_is_refused(string text) =>
        Assert.Equal(RejectReason.BadTime, Assert.Single(CleanTests.Run(CleanTests.Assigned("t"), $"{{\"t\":\"{text}\"}}", "{ time_field_name: t, time_format: 'yyyy-MM-dd HH:mm:ss' }").Refused).Reason);

    [Fact]
    public void Access_takes_a_default_or_costs_the_row()
    {
        static string Tree(string more) => $"{{ type: fun, method: from_json, next: {{ type: access, subtype: access_obj, key: x {more}, next: {{ type: assign, subtype: assign_value, assign: {{ assign_to: x, type: long }} }} }} }}";
        Assert.Equal(5L, CleanTests.One(Tree(", default_type: int, default_value: '5'"), """{"x":null}""")["x"]);
        Assert.Equal((RejectReason.MissingField, "x"), (Assert.Single(CleanTests.Run(Tree(""), "{}").Refused).Reason, CleanTests.Run(Tree(", default_type: 'null'"), "{}").Refused[0].Path));
        Assert.Equal(7L, CleanTests.One("{ type: fun, method: from_json_list, next: { type: access, subtype: access_pos, index: '1', next: { type: assign, subtype: assign_value, assign: [{ assign_to: x, type: long }] } } }", "[1,7]")["x"]);
        Assert.Equal("a--2", CleanTests.One("{ type: fun, method: from_json, next: { type: access, subtype: access_multi, keys: 'k,none,m', separator: '--', next: { type: assign, subtype: assign_value, assign: { assign_to: x } } } }", """{"k":"a","m":2}""")["x"]);
    }

    [Theory]
    [InlineData("{ op: equal, lval: $k, rval: 5 }", true)]
    [InlineData("{ op: equal, lval: $none, rval: 5 }", false)]
    [InlineData("{ op: not_equal, lval: $none, rval: 5 }", true)]
    [InlineData("{ op: greater, lval: $k, rval: '4.5' }", true)]
    [InlineData("{ op: not_greater, lval: $k, rval: 5 }", true)]
    [InlineData("{ op: not_less, lval: $s, rval: 0 }", false)]
    [InlineData("{ op: startswith, lval: $s, rval: ab }", true)]
    [InlineData("{ op: endswith, lval: $s, rval: ab }", false)]
    [InlineData("{ op: contains, lval: $s, rval: b }", true)]
    [InlineData("{ op: contains, lval: $k, rval: 5 }", false)]
    [InlineData("{ op: and, lval: { op: equal, lval: $k, rval: 5 }, rval: { op: not, lval: { op: equal, lval: $s, rval: x } } }", true)]
    [InlineData("{ op: or, lval: { op: equal, lval: $k, rval: 6 }, rval: { op: equal, lval: $ALL, rval: '{\"k\":5,\"s\":\"abc\"}' } }", true)]
    public void Conditions(string condition, bool holds)
    {
        const string Value = "{ type: assign, subtype: assign_obj, assign: [{ key: k, assign_to: taken }] }";
        var row = CleanTests.One($"{{ type: fun, method: from_json, next: {{ type: branch, next: [{{ type: assign, subtype: assign_obj, assign: [{{ key: s, assign_to: s }}] }}, {{ type: fun, method: selector, args: [{condition}], next: [{Value}] }}] }} }}", """{"k":5,"s":"abc"}""");
        Assert.Equal(holds ? "5" : null, row["taken"]);
    }

    [Fact]
    public void A_selector_without_match_leaves_no_row_of_its_own()
    {
        var (rows, refused) = CleanTests.Run("{ type: fun, method: from_json_list, next: { type: fun, method: iterate, next: { type: fun, method: selector, args: [{ op: equal, lval: $ALL, rval: a }], next: [{ type: assign, subtype: assign_value, assign: { assign_to: x } }] } } }", """["a","b","a"]""");
        Assert.Equal([("a", 1), ("a", 2)], rows.Select(r => ((string)r["x"]!, (int)r["_iteration_idx"]!)));
        Assert.Empty(refused);
    }

    [Fact]
    public void Csv_and_to_string()
    {
        const string Tree = "{ type: fun, method: csvline, next: { type: assign, subtype: assign_pos, assign: " + CleanTests.Positions + " } }";
        Assert.Equal(["a,1", "b\"c", "", "d"], CleanTests.One(Tree, "\"a,1\",\"b\"\"c\",,d\r\nnext,line").Values.Skip(1).Cast<string>());
        Assert.Equal(RejectReason.NoMatch, Assert.Single(CleanTests.Run(Tree, "\"open,1").Refused).Reason);
        Assert.Equal("""{"x":[1]}""", CleanTests.One("{ type: fun, method: from_json, next: { type: access, subtype: access_obj, key: o, next: { type: fun, method: to_string, next: { type: assign, subtype: assign_value, assign: { assign_to: x, type: text } } } } }", """{"o":{ "x": [ 1 ] }}""")["x"]);
    }

    [Fact]
    public void Nested_iterations_keep_the_innermost_number()
    {
        var (rows, refused) = CleanTests.Run(
            "{ type: fun, method: from_json_list, next: { type: fun, method: iterate, next: { type: branch, next: [{ type: assign, subtype: assign_obj, assign: [{ key: n, assign_to: n }] }, { type: access, subtype: access_obj, key: l, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_value, assign: { assign_to: v, type: int } } } }] } } }",
            """[{"n":"a","l":[1,2]},{"n":"b","l":[]},{"n":"c","l":["x",4]}]""");
        Assert.Equal([("a", 1, 1), ("a", 2, 2), ("c", -1, 1), ("c", 4, 2)], rows.Select(r => ((string)r["n"]!, (int?)r["v"] ?? -1, (int)r["_iteration_idx"]!)));
        Assert.Equal("[2].l[0]", Assert.Single(refused).Path);
        Assert.Equal(DiagnosticCodes.Contradiction, Assert.Single(CleanTests.Findings("{ type: fun, method: from_json, next: { type: branch, next: [{ type: access, subtype: access_obj, key: a, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_value, assign: { assign_to: a } } } }, { type: access, subtype: access_obj, key: b, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_value, assign: { assign_to: b } } } }] } }")).Code);
    }

    [Fact]
    public void Columns_are_calculated_trimmed_derived_and_routed()
    {
        const string More = """
            , calculate: [{ assign_type: int, assign_var: diff, expr: { type: fun, method: minus, args: [a, b] } },
                          { assign_type: double, assign_var: share, expr: { type: fun, method: percent, args: [a, b] } },
                          { assign_type: double, assign_var: third, expr: { type: expr, op: '/', lval: { type: expr, op: '+', lval: { op: value, type: field, name: a }, rval: { op: value, type: field, name: b } }, rval: { op: value, type: int, val: 3 } } }],
              convert: [{ type: fun, method: trim, args: [s], next: null }],
              dispatch: [{ data_id: 209, cond: { op: and, lval: { op: equal, lval: { op: value, type: field, name: a }, rval: { op: value, type: int, val: 6 } }, rval: { op: not equal, lval: { op: value, type: field, name: s }, rval: { op: value, type: string, val: no } } } }]
            """;
        var (rows, refused) = CleanTests.Run(Each, """{"host":"h","ts":1700000000,"v":[{"a":6,"b":3,"s":" x "},{"a":1,"b":0},{"a":null,"b":3}]}""", "{ time_field_name: ts, timestamp_len: 10, output_field_name: timestamp, ignore_fields: [_iteration_idx] }", More);
        Assert.Empty(refused);
        Assert.Equal([3, 3, 1, null], rows.Select(r => (int?)r["diff"]));
        Assert.Equal([200d, 200d, 0d, null], rows.Select(r => (double?)r["share"]));
        Assert.Equal([3d, 3d, 1 / 3d, 1d], rows.Select(r => (double?)r["third"]));
        Assert.Equal([0L, 209L, 0L, 0L], rows.Select(r => r["data_id"]));
        Assert.Equal(("x", 1_700_000_000_000L), (rows[0]["s"], rows[0]["timestamp"]));
        Assert.DoesNotContain("_iteration_idx", rows[0].Keys);

        (rows, _) = CleanTests.Run(Each, """{"host":"h","ts":1700000000,"v":[{"a":6,"b":3},{"a":9,"b":null}]}""", "{ time_field_name: ts, timestamp_len: 10, derive_dimension_field_name: name, derive_value_field_name: number }", ", derive: { a: alpha, b: beta }");
        Assert.Equal([("alpha", (int?)6), ("beta", 3), ("alpha", 9), ("beta", null)], rows.Select(r => ((string)r["name"]!, (int?)r["number"])));

        (rows, _) = CleanTests.Run(Each, """{"host":"h","ts":1700000000,"v":[{"a":6},{"a":9}]}""", Conf, ", calculate: [{ assign_type: int, assign_var: top, expr: { type: fun, method: max, args: [a] } }]");
        Assert.Equal((6, 9), (Assert.Single(rows)["a"], rows[0]["top"]));
    }

    [Theory]
    [InlineData("{ type: fun, method: from_jsn, next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.OutOfRange, "from_jsn,", "Did you mean 'from_json'")]
    [InlineData("{ type: fun, method: from_json, nxt: 1, next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.UnknownKey, "nxt: 1", "Did you mean 'next'")]
    [InlineData("{ type: fun, method: split, next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.MissingKey, "{ type: fun, method: split", "separator")]
    [InlineData("{ type: access, subtype: access_obj, next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.MissingKey, "{ type: access, subtype: access_obj, next", "'key'")]
    [InlineData("{ type: fun, method: regex_extract, args: [{ regexp: '(' }], next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.BadRegex, "'('", "pattern")]
    [InlineData("{ type: fun, method: regex_extract, args: [{ regexp: '(?<a>x)', keys: [b] }], next: { type: assign, subtype: assign_value, assign: { assign_to: a } } }", DiagnosticCodes.UnknownColumn, "b] }]", "no group 'b'")]
    [InlineData("{ type: branch, next: [{ type: assign, subtype: assign_value, assign: { assign_to: a } }, { type: assign, subtype: assign_value, assign: { assign_to: a } }] }", DiagnosticCodes.DuplicateName, "a } }] }", "assigned already")]
    [InlineData("{ type: assign, subtype: assign_value, assign: { assign_to: time } }", DiagnosticCodes.DuplicateName, "time } }", "event time")]
    [InlineData("{ type: assign, subtype: assign_value, assign: { assign_to: 'a b' } }", DiagnosticCodes.BadName, "'a b'", "cannot name a column")]
    [InlineData("{ type: assign, subtype: assign_value, assign: { assign_to: a, type: timestamp } }", DiagnosticCodes.WrongType, "timestamp }", "event time alone")]
    [InlineData("{ type: assign, subtype: assign_json, assign: [{ assign_to: a, key: k, type: int }] }", DiagnosticCodes.WrongType, "int }] }", "string or text")]
    [InlineData("{ type: fun, method: selector, args: [{ op: less, lval: $0, rval: 5 }], next: [{ type: assign, subtype: assign_value, assign: { assign_to: a } }, { type: assign, subtype: assign_value, assign: { assign_to: b } }, { type: assign, subtype: assign_value, assign: { assign_to: c } }] }", DiagnosticCodes.Contradiction, "[{ type: assign, subtype: assign_value, assign: { assign_to: a } }, { type: assign", "as many branches")]
    [InlineData("{ type: fun, method: selector, args: [{ op: less, lval: $0, rval: x }], next: [{ type: assign, subtype: assign_value, assign: { assign_to: a } }] }", DiagnosticCodes.WrongType, "x }], next", "not a number")]
    public void Findings_stand_where_they_are(string tree, string code, string at, string message)
    {
        var found = Assert.Single(CleanTests.Findings(tree));
        Assert.Equal(code, found.Code);
        Assert.StartsWith(at, CleanTests.Yaml(tree)[(found.Column - 1)..], StringComparison.Ordinal);
        Assert.Contains(message, found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{ time_field_name: tt, timestamp_len: 10 }", "", DiagnosticCodes.UnknownColumn)]
    [InlineData("{ time_field_name: ts, timestamp_len: 12 }", "", DiagnosticCodes.OutOfRange)]
    [InlineData("{ time_field_name: ts, time_format: yyyy-QQ }", "", DiagnosticCodes.WrongType)]
    [InlineData("{ time_field_name: ts, timestamp_len: 10, encoding: klingon }", "", DiagnosticCodes.OutOfRange)]
    [InlineData("{ time_field_name: ts, timestamp_len: 10, output_field_name: host }", "", DiagnosticCodes.DuplicateName)]
    [InlineData(Conf, ", calculate: [{ assign_type: int, assign_var: x, expr: { type: fun, method: minus, args: [a, host] } }]", DiagnosticCodes.WrongType)]
    [InlineData(Conf, ", calculate: [{ assign_type: int, assign_var: x, expr: { op: '+', lval: { op: value, type: field, name: aa }, rval: { op: value, val: 1 } } }]", DiagnosticCodes.UnknownColumn)]
    [InlineData(Conf, ", derive: { a: x, host: y }", DiagnosticCodes.SchemaMismatch)]
    [InlineData(Conf, ", derive: { a: x }", DiagnosticCodes.MissingKey)]
    [InlineData(Conf, ", convert: [{ method: trim, args: [a] }]", DiagnosticCodes.WrongType)]
    [InlineData(Conf, ", dispatch: [{ data_id: 5, cond: { op: equal, lval: { op: value, type: field, name: z }, rval: { op: value, val: 1 } } }]", DiagnosticCodes.UnknownColumn)]
    public void Findings_around_the_tree(string conf, string more, string code) =>
        Assert.Contains(CleanTests.Findings(Each, conf, more), d => d.Code == code && d.Severity == Severity.Error);

    [Fact]
    public void Nothing_is_allocated_per_record()
    {
        var etl = EtlTests.Settings(CleanTests.Yaml(Each, Conf), new DiagnosticBag("f.yaml")).Create();
        var output = new EtlOutput(etl.Schema);
        var payload = "{\"host\":\"h\\u00e4\",\"ts\":1700000000,\"v\":[{\"a\":1,\"b\":\"2\",\"s\":\"x\"},{\"a\":3}]}"u8.ToArray();
        var least = long.MaxValue;
        for (var round = 0; round < 5; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1000; i++)
            {
                etl.Parse(payload, output);
                output.Rows.RollbackTo(0);
            }

            // The runtime itself allocates now and then while it compiles: the best round counts.
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Empty(output.Rejections);
        Assert.InRange(least, 0, 100);
    }

    [Fact]
    public void No_text_makes_a_function_throw()
    {
        const string Leaf = "next: { type: assign, subtype: assign_pos, assign: [{ index: 0, assign_to: X }] }";
        string[] functions =
        [
            "csvline", "from_url", "from_json", "from_json_list", "split, args: ['|', 3]", "splitkv, args: ['&,', ':=']", "replace, args: [a, bb, '|']",
            "regex_extract, args: [{ regexp: '(?<x>a+)(?<y>b)?' }]", "to_string", "pop", "zip, args: [a, b]", "iterate, args: [n]", "items, args: [k]",
        ];
        var random = new Random(5);
        const string Letters = "ab{}[]\"\\,:|%=&+-.0123456789eE\r\n\0 \u00e4";
        foreach (var function in functions)
        {
            var tree = $"{{ type: fun, method: {function}, next: {{ type: fun, method: to_string, {Leaf.Replace("X", "v", StringComparison.Ordinal)} }} }}";
            var lines = $"{{ type: fun, method: split, args: ['\\n'], next: {{ type: fun, method: iterate, next: {tree} }} }}";
            foreach (var each in new[] { tree, function.StartsWith("it", StringComparison.Ordinal) || function.StartsWith("items", StringComparison.Ordinal) ? tree : lines })
            {
                var etl = EtlTests.Settings(CleanTests.Yaml(each), new DiagnosticBag("f.yaml")).Create();
                var output = new EtlOutput(etl.Schema);
                for (var i = 0; i < 1000; i++)
                {
                    var text = string.Concat(Enumerable.Range(0, random.Next(30)).Select(_ => Letters[random.Next(Letters.Length)]));
                    var (rows, refused, filtered) = EtlTests.Parse(etl, System.Text.Encoding.UTF8.GetBytes(text), output);
                    Assert.True(rows.Count + refused.Length + filtered > 0);
                }
            }
        }
    }

    [Fact]
    public void The_example_of_the_documentation_is_a_clean_flow()
    {
        var text = File.ReadAllText(Path.Combine(Path.GetDirectoryName(Path.GetDirectoryName(Case.DefaultDirectory))!, "flows", "README.md"));
        var start = text.IndexOf("```yaml", StringComparison.Ordinal) + 7;
        var yaml = text[start..text.IndexOf("```", start, StringComparison.Ordinal)];
        var stream = new YamlDotNet.RepresentationModel.YamlStream();
        stream.Load(new StringReader(yaml));
        var etl = (YamlDotNet.RepresentationModel.YamlMappingNode)stream.Documents[0].RootNode["sources"][0]["etl"];
        var bag = new DiagnosticBag("README.md");
        var settings = CleanSettings.Entry.Read(new Section(etl, [new Key("type", KeyKind.Text, "format"), .. CleanSettings.Entry.Keys], bag, "etl"));
        Assert.Empty(bag.Sorted());
        var parser = settings.Create();
        var (rows, refused, _) = EtlTests.Parse(
            parser, System.Text.Encoding.UTF8.GetBytes("{\"_time_\":\"2018-03-14 11:05:16\",\"_server_\":\"10.0.0.1\",\"_value_\":[\"4|ok|1.5\",\"5|slow|x\"]}"), new EtlOutput(parser.Schema));
        Assert.Equal([(4L, "ok", (double?)1.5), (5L, "slow", null)], rows.Select(r => ((long)r["id"]!, (string)r["state"]!, (double?)r["cost"])));
        Assert.Equal("_value_[1][2]", Assert.Single(refused).Path);
    }

    [Fact]
    public void Parsers_of_one_setting_do_not_disturb_each_other()
    {
        var bag = new DiagnosticBag("f.yaml");
        var settings = EtlTests.Settings($"{{ type: clean, conf: {Conf}, extract: {Each} }}", bag);
        Assert.Empty(bag.Sorted());
        Parallel.For(0, 8, worker =>
        {
            var etl = settings.Create();
            var output = new EtlOutput(etl.Schema);
            for (var i = 0; i < 500; i++)
            {
                var (rows, refused, _) = EtlTests.Parse(etl, System.Text.Encoding.UTF8.GetBytes($"{{\"host\":\"h{worker}\",\"ts\":1700000000,\"v\":[{{\"a\":{i}}},{{\"a\":{i + 1}}}]}}"), output);
                Assert.Empty(refused);
                Assert.Equal([($"h{worker}", i), ($"h{worker}", i + 1)], rows.Select(r => ((string)r["host"]!, (int)r["a"]!)));
            }
        });
    }
}
