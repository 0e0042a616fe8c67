namespace BkBase.Flows.Expressions;

/// <summary>A node of the tree that an expression's text is read into.</summary>
/// <param name="At">Offset of its first character in the text.</param>
internal abstract record Syntax(int At);

/// <summary>A literal: long, double, string, bool or null.</summary>
internal sealed record LiteralSyntax(int At, object? Value) : Syntax(At);

internal sealed record NameSyntax(int At, string Name) : Syntax(At);

internal sealed record UnarySyntax(int At, string Operator, Syntax Operand) : Syntax(At);

internal sealed record BinarySyntax(int At, string Operator, Syntax Left, Syntax Right) : Syntax(At);

internal sealed record InSyntax(int At, Syntax Value, IReadOnlyList<Syntax> Items, bool Not) : Syntax(At);

internal sealed record BetweenSyntax(int At, Syntax Value, Syntax Low, Syntax High, bool Not) : Syntax(At);

internal sealed record LikeSyntax(int At, Syntax Value, Syntax Pattern, bool Not) : Syntax(At);

internal sealed record IsNullSyntax(int At, Syntax Value, bool Not) : Syntax(At);

internal sealed record CaseSyntax(int At, Syntax? Subject, IReadOnlyList<(Syntax When, Syntax Then)> Branches, Syntax? Else) : Syntax(At);

internal sealed record CastSyntax(int At, Syntax Value, string Type, int TypeAt) : Syntax(At);

internal sealed record CallSyntax(int At, string Name, IReadOnlyList<Syntax> Arguments) : Syntax(At);

internal sealed record IndexSyntax(int At, Syntax Map, Syntax Key) : Syntax(At);
