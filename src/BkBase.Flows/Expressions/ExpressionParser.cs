using System.Globalization;
using System.Text;

namespace BkBase.Flows.Expressions;

/// <summary>What the parser throws inside to leave a bad text; caught where parsing starts.</summary>
internal sealed class ExpressionSyntaxException(int at, string message) : Exception(message)
{
    public int At { get; } = at;
}

/// <summary>
/// Reads expressions by precedence climbing. Written by hand because every finding needs the exact place and the word
/// that stands there.
/// </summary>
internal sealed class ExpressionParser
{
    /// <summary>Nodes of one expression at most: bounds the depth of every later recursion.</summary>
    public const int NodesMax = 1000;

    private const int DepthMax = 100;

    private static readonly string[] Keywords = ["and", "or", "not", "in", "between", "like", "is", "null", "true", "false", "case", "when", "then", "else", "end"];

    private readonly string _text;
    private int _next;
    private Kind _kind;
    private string _token = "";
    private int _at;
    private int _nodes;
    private int _depth;

    private ExpressionParser(string text)
    {
        _text = text;
        Advance();
    }

    private enum Kind
    {
        End,
        Number,
        Text,
        Name,
        Quoted,
        Word,
        Symbol,
    }

    /// <summary>The tree of the whole text.</summary>
    /// <exception cref="ExpressionSyntaxException">The text is not an expression.</exception>
    public static Syntax Parse(string text)
    {
        var parser = new ExpressionParser(text);
        if (parser._kind == Kind.End)
        {
            throw new ExpressionSyntaxException(0, "an expression is missing");
        }

        var root = parser.Or();
        return parser._kind == Kind.End ? root : throw parser.Unexpected("an operator or the end");
    }

    private Syntax Or()
    {
        if (++_depth > DepthMax)
        {
            throw new ExpressionSyntaxException(_at, $"the expression is nested deeper than {DepthMax}");
        }

        var left = And();
        while (IsWord("or"))
        {
            var at = Take();
            left = Count(new BinarySyntax(at, "or", left, And()));
        }

        _depth--;
        return left;
    }

    private Syntax And()
    {
        var left = Not();
        while (IsWord("and"))
        {
            var at = Take();
            left = Count(new BinarySyntax(at, "and", left, Not()));
        }

        return left;
    }

    private Syntax Not()
    {
        if (!IsWord("not"))
        {
            return Comparison();
        }

        var ats = new Stack<int>();
        while (IsWord("not"))
        {
            ats.Push(Take());
        }

        var operand = Comparison();
        while (ats.TryPop(out var at))
        {
            operand = Count(new UnarySyntax(at, "not", operand));
        }

        return operand;
    }

    private Syntax Comparison()
    {
        var left = Concat();
        while (true)
        {
            if (_kind == Kind.Symbol && _token is "=" or "==" or "!=" or "<>" or "<" or "<=" or ">" or ">=")
            {
                var op = _token switch { "==" => "=", "<>" => "!=", var same => same };
                left = Count(new BinarySyntax(Take(), op, left, Concat()));
                continue;
            }

            if (IsWord("is"))
            {
                var isAt = Take();
                var isNot = Accept("not");
                Expect("null");
                left = Count(new IsNullSyntax(isAt, left, isNot));
                continue;
            }

            var not = false;
            var at = _at;
            if (IsWord("not"))
            {
                Advance();
                not = true;
            }

            if (IsWord("in"))
            {
                Advance();
                ExpectSymbol("(");
                left = Count(new InSyntax(at, left, List(), not));
            }
            else if (IsWord("between"))
            {
                Advance();
                var low = Concat();
                Expect("and");
                left = Count(new BetweenSyntax(at, left, low, Concat(), not));
            }
            else if (IsWord("like"))
            {
                Advance();
                left = Count(new LikeSyntax(at, left, Concat(), not));
            }
            else
            {
                return not ? throw Unexpected("'in', 'between' or 'like' after 'not'") : left;
            }
        }
    }

    private Syntax Concat()
    {
        var left = Sum();
        while (IsSymbol("||"))
        {
            left = Count(new BinarySyntax(Take(), "||", left, Sum()));
        }

        return left;
    }

    private Syntax Sum()
    {
        var left = Product();
        while (_kind == Kind.Symbol && _token is "+" or "-")
        {
            var op = _token;
            left = Count(new BinarySyntax(Take(), op, left, Product()));
        }

        return left;
    }

    private Syntax Product()
    {
        var left = Sign();
        while (_kind == Kind.Symbol && _token is "*" or "/" or "%")
        {
            var op = _token;
            left = Count(new BinarySyntax(Take(), op, left, Sign()));
        }

        return left;
    }

    private Syntax Sign()
    {
        if (!IsSymbol("-"))
        {
            return Postfix();
        }

        var at = Take();
        if (_kind == Kind.Number)
        {
            var number = Number("-" + _token, at);
            Advance();
            return number;
        }

        if (++_depth > DepthMax)
        {
            throw new ExpressionSyntaxException(at, $"the expression is nested deeper than {DepthMax}");
        }

        var operand = Sign();
        _depth--;
        return Count(new UnarySyntax(at, "-", operand));
    }

    private Syntax Postfix()
    {
        var value = Primary();
        while (IsSymbol("["))
        {
            var at = Take();
            var key = Or();
            ExpectSymbol("]");
            value = Count(new IndexSyntax(at, value, key));
        }

        return value;
    }

    private Syntax Primary()
    {
        var at = _at;
        var token = _token;
        switch (_kind)
        {
            case Kind.Number:
                Advance();
                return Number(token, at);
            case Kind.Text:
                Advance();
                return Count(new LiteralSyntax(at, token));
            case Kind.Quoted:
                Advance();
                return Count(new NameSyntax(at, token));
            case Kind.Symbol when token == "(":
                Advance();
                var inner = Or();
                ExpectSymbol(")");
                return inner;
            case Kind.Word when token is "true" or "false":
                Advance();
                return Count(new LiteralSyntax(at, token == "true"));
            case Kind.Word when token == "null":
                Advance();
                return Count(new LiteralSyntax(at, null));
            case Kind.Word when token == "case":
                Advance();
                return Case(at);
            case Kind.Name:
                Advance();
                if (!IsSymbol("("))
                {
                    return Count(new NameSyntax(at, token));
                }

                Advance();
                return token.Equals("cast", StringComparison.OrdinalIgnoreCase)
                    ? Cast(at)
                    : Count(new CallSyntax(at, token.ToLowerInvariant(), List()));
            default:
                throw Unexpected("a column, a literal, a function or '('");
        }
    }

    private Syntax Case(int at)
    {
        var subject = IsWord("when") ? null : Or();
        var branches = new List<(Syntax, Syntax)>();
        do
        {
            Expect("when");
            var when = Or();
            Expect("then");
            branches.Add((when, Or()));
        }
        while (IsWord("when"));

        var otherwise = Accept("else") ? Or() : null;
        Expect("end");
        return Count(new CaseSyntax(at, subject, branches, otherwise));
    }

    private Syntax Cast(int at)
    {
        var value = Or();
        if (_kind != Kind.Name || !_token.Equals("as", StringComparison.OrdinalIgnoreCase))
        {
            throw Unexpected("'as'");
        }

        Advance();
        var (type, typeAt) = (_token, _at);
        if (_kind != Kind.Name)
        {
            throw Unexpected("a type");
        }

        Advance();
        ExpectSymbol(")");
        return Count(new CastSyntax(at, value, type.ToLowerInvariant(), typeAt));
    }

    // After '(': items up to and including ')'.
    private List<Syntax> List()
    {
        var items = new List<Syntax>();
        if (!IsSymbol(")"))
        {
            do
            {
                items.Add(Or());
            }
            while (AcceptSymbol(","));
        }

        ExpectSymbol(")");
        return items;
    }

    private Syntax Number(string token, int at)
    {
        if (token.AsSpan().IndexOfAny('.', 'e', 'E') < 0)
        {
            return long.TryParse(token, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole)
                ? Count(new LiteralSyntax(at, whole))
                : throw new ExpressionSyntaxException(at, $"{token} does not fit into int64");
        }

        return double.TryParse(token, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number)
            ? Count(new LiteralSyntax(at, number))
            : throw new ExpressionSyntaxException(at, $"'{token}' is not a number");
    }

    private Syntax Count(Syntax node) => ++_nodes <= NodesMax
        ? node
        : throw new ExpressionSyntaxException(node.At, $"the expression has more than {NodesMax} parts");

    private bool IsWord(string word) => _kind == Kind.Word && _token == word;

    private bool IsSymbol(string symbol) => _kind == Kind.Symbol && _token == symbol;

    private int Take()
    {
        var at = _at;
        Advance();
        return at;
    }

    private bool Accept(string word)
    {
        if (!IsWord(word))
        {
            return false;
        }

        Advance();
        return true;
    }

    private bool AcceptSymbol(string symbol)
    {
        if (!IsSymbol(symbol))
        {
            return false;
        }

        Advance();
        return true;
    }

    private void Expect(string word)
    {
        if (!Accept(word))
        {
            throw Unexpected($"'{word}'");
        }
    }

    private void ExpectSymbol(string symbol)
    {
        if (!AcceptSymbol(symbol))
        {
            throw Unexpected($"'{symbol}'");
        }
    }

    private ExpressionSyntaxException Unexpected(string expected) =>
        new(_at, _kind == Kind.End ? $"the expression ends where {expected} belongs" : $"'{_text[_at.._next]}' stands where {expected} belongs");

    private void Advance()
    {
        while (_next < _text.Length && char.IsWhiteSpace(_text[_next]))
        {
            _next++;
        }

        _at = _next;
        if (_next == _text.Length)
        {
            (_kind, _token) = (Kind.End, "");
            return;
        }

        var c = _text[_next];
        if (char.IsAsciiDigit(c) || (c == '.' && _next + 1 < _text.Length && char.IsAsciiDigit(_text[_next + 1])))
        {
            ScanNumber();
        }
        else if (char.IsAsciiLetter(c) || c == '_')
        {
            while (_next < _text.Length && (char.IsAsciiLetterOrDigit(_text[_next]) || _text[_next] == '_'))
            {
                _next++;
            }

            _token = _text[_at.._next];
            _kind = Kind.Name;
            if (Array.Find(Keywords, k => k.Equals(_token, StringComparison.OrdinalIgnoreCase)) is { } keyword)
            {
                (_kind, _token) = (Kind.Word, keyword);
            }
        }
        else if (c is '\'' or '`' or '"')
        {
            (_kind, _token) = (c == '\'' ? Kind.Text : Kind.Quoted, ScanQuoted(c));
        }
        else
        {
            var two = _next + 1 < _text.Length ? _text.Substring(_next, 2) : "";
            _token = two is "==" or "!=" or "<>" or "<=" or ">=" or "||" ? two : c.ToString();
            _kind = Kind.Symbol;
            _next += _token.Length;
            if (_token.Length == 1 && "+-*/%=<>()[],".IndexOf(c, StringComparison.Ordinal) < 0)
            {
                throw new ExpressionSyntaxException(_at, $"'{c}' means nothing in an expression");
            }
        }
    }

    private void ScanNumber()
    {
        var digits = true;
        while (_next < _text.Length && (char.IsAsciiDigit(_text[_next]) || _text[_next] == '.' || (digits && _text[_next] is 'e' or 'E')))
        {
            if (_text[_next] is 'e' or 'E')
            {
                digits = false;
                if (_next + 1 < _text.Length && _text[_next + 1] is '+' or '-')
                {
                    _next++;
                }
            }

            _next++;
        }

        _token = _text[_at.._next];
        _kind = Kind.Number;
        if (_next < _text.Length && (char.IsAsciiLetter(_text[_next]) || _text[_next] == '_'))
        {
            throw new ExpressionSyntaxException(_at, $"'{_token}{_text[_next]}' is neither a number nor a name");
        }
    }

    private string ScanQuoted(char quote)
    {
        var text = new StringBuilder();
        while (++_next < _text.Length)
        {
            if (_text[_next] != quote)
            {
                text.Append(_text[_next]);
            }
            else if (_next + 1 < _text.Length && _text[_next + 1] == quote)
            {
                text.Append(quote);
                _next++;
            }
            else
            {
                _next++;
                return text.ToString();
            }
        }

        throw new ExpressionSyntaxException(_at, $"the closing {quote} is missing");
    }
}
