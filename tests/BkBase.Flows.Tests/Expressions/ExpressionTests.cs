using System.Globalization;
using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Tests.Operators;

namespace BkBase.Flows.Tests.Expressions;

public sealed class ExpressionTests
{
    [Theory]
    [InlineData("1 + 2 * 3", "7|7|7")]
    [InlineData("n / 2", "3.5|null|0")]
    [InlineData("n / 0", "null|null|null")]
    [InlineData("n % 0", "null|null|null")]
    [InlineData("9223372036854775807 + n", "null|null|9223372036854775807")]
    [InlineData("-small + 1", "-2|1|4")]
    [InlineData("cpu > 1", "True|null|False")]
    [InlineData("cpu > 1 or ok is null", "True|True|False")]
    [InlineData("ok and n > 0", "True|null|False")]
    [InlineData("not ok", "False|null|True")]
    [InlineData("host = 'web-1'", "True|False|False")]
    [InlineData("'db-2' != host", "True|True|False")]
    [InlineData("zone < host", "True|null|True")]
    [InlineData("n in (7, 8)", "True|null|False")]
    [InlineData("n not in (7, null)", "False|null|null")]
    [InlineData("host in ('db-2', 'x')", "False|False|True")]
    [InlineData("cpu between 1 and 2", "True|null|False")]
    [InlineData("host like '%b-_'", "True|False|True")]
    [InlineData("host not like 'w%'", "False|True|True")]
    [InlineData("line like 'GET %'", "True|null|False")]
    [InlineData("zone is null", "False|True|False")]
    [InlineData("zone is not null", "True|False|True")]
    [InlineData("case when n > 5 then 'many' when n = 0 then zone else 'it''s' end", "many|it's|")]
    [InlineData("case small when 3 then 1 when 0 then 2.5 end", "1|2.5|null")]
    [InlineData("if(ok, host, 'none')", "web-1|none|none")]
    [InlineData("cast(cpu as int64)", "1|null|0")]
    [InlineData("cast('12' as int32)", "12|12|12")]
    [InlineData("dimensions['pod']", "p1||p2")]
    [InlineData("dimensions['pod'] = 'p2'", "False|False|True")]
    [InlineData("host || '/' || n", "web-1/7|null|db-2/0")]
    [InlineData("upper(host)", "WEB-1||DB-2")]
    [InlineData("lower(line)", "get /a 200|null|")]
    [InlineData("length(host)", "5|0|4")]
    [InlineData("substring(host, 2, 2)", "eb||b-")]
    [InlineData("replace(host, '-', '__')", "web__1||db__2")]
    [InlineData("regexp_match(line, '[0-9]{3}$')", "True|null|False")]
    [InlineData("regexp_extract(host, '([a-z]+)-')", "web|null|db")]
    [InlineData("coalesce(zone, host, 'x')", "eu||")]
    [InlineData("coalesce(n, -1)", "7|-1|0")]
    [InlineData("round(2.5) + floor(cpu)", "4|null|3")]
    [InlineData("sqrt(-1)", "null|null|null")]
    [InlineData("log(cpu) is null", "False|True|True")]
    [InlineData("least(n, small)", "3|null|-3")]
    [InlineData("greatest(n, cpu)", "7|null|0")]
    [InlineData("to_string(n)", "7|null|0")]
    [InlineData("to_int64(zone)", "null|null|null")]
    [InlineData("json_value(doc, '$.a.b[1]')", "x|null|null")]
    [InlineData("unix_ms(date_trunc('minute', time))", "60000|120000|0")]
    [InlineData("time >= '1970-01-01T00:01:00Z'", "True|True|False")]
    [InlineData("time - time", "0|0|0")]
    [InlineData("null = 1", "null|null|null")]
    public void GivesExpectedValues(string text, string expected)
    {
        var bag = new DiagnosticBag("f.yaml");
        var compiled = Expression.Parse(new Located(text, new Position(1, 1)), bag).Compile(Batches.Schema, bag);
        Assert.Empty(bag.Sorted());
        for (var run = 0; run < 2; run++)
        {
            var column = compiled!.Evaluate(Batches.Three);
            Assert.Equal(expected, string.Join('|', Enumerable.Range(0, 3).Select(r => Convert.ToString(column.GetValue(r) ?? "null", CultureInfo.InvariantCulture))));
            Assert.True(compiled.Nullable || column.Validity is null);
        }
    }

    [Theory]
    [InlineData("cp > 1", 14, 9, "BKF014")]
    [InlineData("n > nosuch", 14, 13, "BKF014")]
    [InlineData("n + ", 14, 13, "BKF015")]
    [InlineData("n ~ 1", 14, 11, "BKF015")]
    [InlineData("'open", 14, 9, "BKF015")]
    [InlineData("n + 'a'", 14, 11, "BKF016")]
    [InlineData("ok and\n host", 15, 10, "BKF016")]
    [InlineData("lowr(host)", 14, 9, "BKF017")]
    [InlineData("regexp_match(host, '(a)\\1')", 14, 28, "BKF019")]
    [InlineData("lower(n)", 14, 15, "BKF016")]
    [InlineData("cast(n as strin)", 14, 19, "BKF016")]
    public void SaysWhereItIsWrong(string text, int line, int column, string code)
    {
        var bag = new DiagnosticBag("f.yaml");
        Assert.Null(Expression.Parse(new Located(text, new Position(14, 9)), bag).Compile(Batches.Schema, bag));
        var found = Assert.Single(bag.Sorted());
        Assert.Equal((line, column, code), (found.Line, found.Column, found.Code));
    }

    [Fact]
    public void SuggestsTheColumnMeant()
    {
        var bag = new DiagnosticBag("f.yaml");
        Expression.Parse(new Located("cpuu > 1", new Position(1, 1)), bag).Compile(Batches.Schema, bag);
        Assert.EndsWith("Did you mean 'cpu'?", bag.Sorted()[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FunctionExamplesHold()
    {
        foreach (var function in Functions.All)
        {
            Assert.Matches("^[a-z][a-z0-9_]*$", function.Name);
            Assert.NotEmpty(function.Description);
            var bag = new DiagnosticBag("f.yaml");
            var parts = function.Example.Split(" is ");
            var compiled = Expression.Parse(new Located($"({parts[0]}) = {parts[1]}", new Position(1, 1)), bag).Compile(Batches.Schema, bag);
            Assert.True(compiled is not null, $"{function.Example}: {string.Join(';', bag.Sorted())}");
            Assert.True(compiled.Evaluate(Batches.Three).GetValue(0) is true, function.Example);
        }
    }
}
