using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Definition;

/// <summary>YAML text to its root mapping, with every failure as a finding.</summary>
internal static class YamlFile
{
    private const int DepthMax = 64;
    private const string NoYaml = "this is not YAML";
    private const string DuplicateKey = "Duplicate key ";

    /// <summary>The root mapping, or null after an error.</summary>
    public static YamlMappingNode? Root(string text, int bytesMax, DiagnosticBag diagnostics)
    {
        if (text.Length > bytesMax)
        {
            diagnostics.Error(new Position(1, 1), DiagnosticCodes.TooLarge, $"the file has {text.Length} characters; at most {bytesMax} are read");
            return null;
        }

        if (!IsWellFormed(text, diagnostics))
        {
            return null;
        }

        var stream = new YamlStream();
        try
        {
            stream.Load(new StringReader(text));
        }
        catch (YamlException e)
        {
            Report(e, diagnostics);
            return null;
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            // YamlDotNet throws these without a position for some broken input (bad anchors, bad tags).
            diagnostics.Error(new Position(1, 1), DiagnosticCodes.Syntax, $"{NoYaml}: {e.Message}");
            return null;
        }

        if (stream.Documents.Count != 1)
        {
            diagnostics.Error(new Position(1, 1), DiagnosticCodes.Syntax, stream.Documents.Count == 0 ? "the file is empty" : "the file holds several documents; write one per file");
            return null;
        }

        if (stream.Documents[0].RootNode is YamlMappingNode root)
        {
            return root;
        }

        diagnostics.Error(Section.At(stream.Documents[0].RootNode), DiagnosticCodes.WrongShape, "the file is a mapping that starts with a key such as 'flow:'");
        return null;
    }

    // The parser is iterative, the loader recursive: depth is bounded here, before anything recurses.
    private static bool IsWellFormed(string text, DiagnosticBag diagnostics)
    {
        var parser = new Parser(new StringReader(text));
        try
        {
            var depth = 0;
            while (parser.MoveNext())
            {
                switch (parser.Current)
                {
                    case MappingStart or SequenceStart when ++depth > DepthMax:
                        diagnostics.Error(At(parser.Current.Start), DiagnosticCodes.Syntax, $"nested deeper than {DepthMax}");
                        return false;
                    case MappingEnd or SequenceEnd:
                        depth--;
                        break;
                    case AnchorAlias:
                        diagnostics.Error(At(parser.Current.Start), DiagnosticCodes.Syntax, "aliases are not used in flow files; write the value out");
                        return false;
                }
            }

            return true;
        }
        catch (YamlException e)
        {
            if (!ReportTab(text, diagnostics))
            {
                Report(e, diagnostics);
            }
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            if (!ReportTab(text, diagnostics))
            {
                diagnostics.Error(parser.Current is { } current ? At(current.End) : new Position(1, 1), DiagnosticCodes.Syntax, $"{NoYaml}; a bracket, quote or colon may be missing before this place");
            }
        }

        return false;
    }

    // What the parser says of a tab is true and helps nobody; the tab is what to look at.
    private static bool ReportTab(string text, DiagnosticBag diagnostics)
    {
        var lines = text.Split('\n');
        var line = Array.FindIndex(lines, l => l.TrimStart(' ').StartsWith('\t'));
        if (line < 0)
        {
            return false;
        }

        diagnostics.Error(new Position(line + 1, lines[line].IndexOf('\t') + 1), DiagnosticCodes.Syntax, "a tab in the indentation; YAML is indented with spaces");
        return true;
    }

    private static void Report(YamlException e, DiagnosticBag diagnostics)
    {
        var message = e.InnerException?.Message ?? e.Message;
        if (message.StartsWith(DuplicateKey, StringComparison.OrdinalIgnoreCase))
        {
            diagnostics.Error(At(e.Start), DiagnosticCodes.DuplicateKey, $"the key '{message[DuplicateKey.Length..]}' stands twice in one mapping; keep one of the two");
        }
        else
        {
            diagnostics.Error(At(e.Start), DiagnosticCodes.Syntax, $"{NoYaml}: {message}");
        }
    }

    private static Position At(Mark mark) => new(Math.Max(1, (int)mark.Line), Math.Max(1, (int)mark.Column));
}
