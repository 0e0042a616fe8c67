using System.Text;

namespace BkBase.Store.Http;

/// <summary>An INSERT whose data follow its FORMAT clause.</summary>
internal readonly record struct InsertHead(int SqlLength, string Format, int DataOffset);

/// <summary>Reads as much of a statement as the HTTP interface has to know: words outside of texts and comments.</summary>
internal static class SqlText
{
    /// <summary>True when the statement begins with the word.</summary>
    public static bool StartsWith(ReadOnlySpan<byte> sql, string word)
    {
        var scanner = new Scanner(sql);
        return scanner.Next() && scanner.Is(word);
    }

    /// <summary>Finds <c>INSERT ... FORMAT x</c>; not with SELECT, VALUES or FROM INFILE.</summary>
    public static bool TryInsert(ReadOnlySpan<byte> sql, out InsertHead head)
    {
        head = default;
        var scanner = new Scanner(sql);
        if (!scanner.Next() || !scanner.Is("INSERT"))
        {
            return false;
        }

        while (scanner.Next())
        {
            if (scanner.Depth > 0)
            {
                continue;
            }

            if (scanner.Is("SELECT") || scanner.Is("VALUES") || scanner.Is("WITH") || scanner.Is("FROM"))
            {
                return false;
            }

            var at = scanner.Start;
            if (scanner.Is("FORMAT") && scanner.Next() && scanner.IsWord)
            {
                head = new InsertHead(at, scanner.Text, SkipLineEnd(sql, scanner.End));
                return true;
            }
        }

        return false;
    }

    /// <summary>The format of the result: the clause at the end of the statement, or the default; null when that cannot be said.</summary>
    public static string? ResultFormat(ReadOnlySpan<byte> sql, string defaultFormat)
    {
        var scanner = new Scanner(sql);
        string? found = null;
        var more = scanner.Next();
        while (more)
        {
            if (!scanner.Is("FORMAT") || scanner.Depth > 0)
            {
                more = scanner.Next();
                continue;
            }

            more = scanner.Next();
            if (more && scanner.IsWord)
            {
                found = scanner.Text;
                more = scanner.Next();
                if (more && !scanner.Is("SETTINGS") && !scanner.IsSemicolon)
                {
                    return null;
                }
            }
        }

        return found ?? defaultFormat;
    }

    private static int SkipLineEnd(ReadOnlySpan<byte> sql, int at)
    {
        while (at < sql.Length && sql[at] is (byte)' ' or (byte)'\t')
        {
            at++;
        }

        at += at < sql.Length && sql[at] == (byte)'\r' ? 1 : 0;
        return at + (at < sql.Length && sql[at] == (byte)'\n' ? 1 : 0);
    }

    private ref struct Scanner(ReadOnlySpan<byte> sql)
    {
        private readonly ReadOnlySpan<byte> _sql = sql;

        public int Start { get; private set; }

        public int End { get; private set; }

        public int Depth { get; private set; }

        public bool IsWord { get; private set; }

        public readonly bool IsSemicolon => _sql[Start] == (byte)';';

        public readonly string Text => Encoding.UTF8.GetString(_sql[Start..End]);

        public readonly bool Is(string word) => IsWord && Ascii.EqualsIgnoreCase(_sql[Start..End], word);

        public bool Next()
        {
            var at = SkipBlanks(End);
            (Start, IsWord) = (at, false);
            if (at >= _sql.Length)
            {
                End = at;
                return false;
            }

            var c = _sql[at];
            if (IsWordByte(c))
            {
                IsWord = true;
                while (at < _sql.Length && IsWordByte(_sql[at]))
                {
                    at++;
                }

                End = at;
                return true;
            }

            Depth += c == (byte)'(' ? 1 : c == (byte)')' ? -1 : 0;
            End = c is (byte)'\'' or (byte)'"' or (byte)'`' ? SkipQuoted(at, c) : at + 1;
            return true;
        }

        private readonly int SkipQuoted(int at, byte quote)
        {
            for (at++; at < _sql.Length && _sql[at] != quote; at++)
            {
                at += _sql[at] == (byte)'\\' ? 1 : 0;
            }

            return Math.Min(at + 1, _sql.Length);
        }

        private readonly int SkipBlanks(int at)
        {
            while (at < _sql.Length)
            {
                var rest = _sql[at..];
                if (rest[0] <= (byte)' ')
                {
                    at++;
                }
                else if (rest.StartsWith("--"u8))
                {
                    at = Behind(rest, "\n"u8, at);
                }
                else if (rest.StartsWith("/*"u8))
                {
                    at = Behind(rest[2..], "*/"u8, at + 2);
                }
                else
                {
                    break;
                }
            }

            return at;
        }

        private readonly int Behind(ReadOnlySpan<byte> rest, ReadOnlySpan<byte> mark, int at) =>
            rest.IndexOf(mark) is var i and >= 0 ? at + i + mark.Length : _sql.Length;

        private static bool IsWordByte(byte c) => char.IsAsciiLetterOrDigit((char)c) || c is (byte)'_' or >= 0x80;
    }
}
