using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>A node of a clean tree.</summary>
internal abstract class CleanNode
{
    /// <summary>Passes a value on. False when it cost the row in work, which has been reported then.</summary>
    public abstract bool Run(CleanRun run, int value);
}

/// <summary>Runs all its nodes on the same value.</summary>
internal sealed class CleanBranchNode(CleanNode[] nodes) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        foreach (var node in nodes)
        {
            if (!node.Run(run, value))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>access_obj and access_pos: picks a child; a default takes the place of one that is absent or null.</summary>
/// <param name="key">Key, or null to go by position.</param>
/// <param name="orElse">What is taken when there is no child; null when that costs the row.</param>
internal sealed class CleanAccess(byte[]? key, int index, (CleanKind Kind, byte[] Text)? orElse, string path, string childPath, CleanNode next) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        var values = run.Values;
        var wanted = key is null ? CleanKind.List : CleanKind.Map;
        if (values.Kind(value) != wanted)
        {
            return run.Refuse(RejectReason.WrongType, path, key is null ? "access_pos needs a list" : "access_obj needs an object", value);
        }

        var child = key is null ? values.Item(value, index) : values.Find(value, key);
        if (values.Kind(child) != CleanKind.Null)
        {
            return next.Run(run, child);
        }

        return orElse is var (kind, text)
            ? next.Run(run, values.Add(kind, text))
            : run.Refuse(RejectReason.MissingField, childPath, "nothing is here and no default is given", value);
    }
}

/// <summary>access_multi: the values of several keys as one text.</summary>
internal sealed class CleanAccessMulti(byte[][] keys, byte[] separator, string path, CleanNode next) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        var values = run.Values;
        if (values.Kind(value) != CleanKind.Map)
        {
            return run.Refuse(RejectReason.WrongType, path, "access_multi needs an object", value);
        }

        var text = run.Bytes;
        text.Clear();
        foreach (var key in keys)
        {
            var child = values.Find(value, key);
            if (child != CleanValues.None)
            {
                text.AddRange(text.Count == 0 ? [] : separator.AsSpan());
                text.AddRange(values.AsText(child));
            }
        }

        return next.Run(run, values.Add(CleanKind.Text, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(text)));
    }
}

/// <summary>What an assign node writes into one column.</summary>
/// <param name="Keys">Keys of which the first that holds something counts; null stands for the whole object.</param>
/// <param name="Index">Position, for assign_pos.</param>
internal sealed record CleanAssignment(CleanColumn Column, byte[]?[] Keys, int Index, string Path);

/// <summary>assign_obj and assign_json: columns from the keys of an object.</summary>
internal sealed class CleanAssignKeys(CleanAssignment[] assignments, string path) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        if (run.Values.Kind(value) != CleanKind.Map)
        {
            return run.Refuse(RejectReason.WrongType, path, "columns are assigned by key from an object", value);
        }

        foreach (var assignment in assignments)
        {
            var found = CleanValues.None;
            foreach (var key in assignment.Keys)
            {
                found = key is null ? value : run.Values.Find(value, key);
                if (found != CleanValues.None)
                {
                    break;
                }
            }

            run.Assign(assignment.Column, found, assignment.Path);
        }

        return true;
    }
}

/// <summary>assign_pos: columns from the positions of a list; a scalar stands for itself, a missing position is null.</summary>
internal sealed class CleanAssignPositions(CleanAssignment[] assignments, string path) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        var kind = run.Values.Kind(value);
        if (kind == CleanKind.Map)
        {
            return run.Refuse(RejectReason.WrongType, path, "columns are assigned by position from a list", value);
        }

        foreach (var assignment in assignments)
        {
            run.Assign(assignment.Column, kind == CleanKind.List ? run.Values.Item(value, assignment.Index) : value, assignment.Path);
        }

        return true;
    }
}

/// <summary>assign_value: a column from the value itself.</summary>
internal sealed class CleanAssignValue(CleanColumn column, string path) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        run.Assign(column, value, path);
        return true;
    }
}

/// <summary>
/// iterate and items: a row per element of a list or entry of an object. An element that fails is reported and left out;
/// when none is left, the row around them goes too.
/// </summary>
/// <param name="isMap">True for items.</param>
/// <param name="number">Column of the element's number, from 1, counting those that succeed.</param>
/// <param name="key">Column of the entry's key; null makes {key, value} of each entry.</param>
internal sealed class CleanEach(bool isMap, CleanLevel parent, CleanLevel level, CleanColumn? number, CleanColumn? key, string path, CleanNode next) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        var values = run.Values;
        if (values.Kind(value) != (isMap ? CleanKind.Map : CleanKind.List))
        {
            return run.Refuse(RejectReason.WrongType, path, isMap ? "items needs an object" : "iterate needs a list", value);
        }

        if (!ReferenceEquals(parent.Nested, level))
        {
            // Another iteration beside this one makes the rows.
            return true;
        }

        run.OpenNested();
        var kept = 0;
        for (var i = 0; i < values.Count(value); i++)
        {
            var outer = run.BeginRow(level, isMap ? values.Key(value, i) : i);
            var isKept = next.Run(run, Element(values, value, i)) && run.IsWritten;
            if (isKept)
            {
                kept++;
                Mark(run, values, value, i, kept);
            }

            run.EndRow(outer, isKept);
        }

        return kept > 0;
    }

    private int Element(CleanValues values, int value, int index)
    {
        if (!isMap)
        {
            return values.Item(value, index);
        }

        return key is not null
            ? values.ValueAt(value, index)
            : values.AddMap([values.Add(CleanKind.Text, "key"u8), values.Key(value, index), values.Add(CleanKind.Text, "value"u8), values.ValueAt(value, index)]);
    }

    private void Mark(CleanRun run, CleanValues values, int value, int index, int kept)
    {
        if (number is not null)
        {
            run.Set(number, run.AddNumber(kept));
        }

        if (key is not null)
        {
            run.Set(key, values.Key(value, index));
        }
    }
}

/// <summary>
/// selector: runs the branch of the first condition that holds, else the one without condition. What the other branches
/// would write is null; where they iterate, one row stands.
/// </summary>
internal sealed class CleanSelector(CleanCondition[] conditions, CleanNode[] branches, bool isNested) : CleanNode
{
    public override bool Run(CleanRun run, int value)
    {
        var taken = 0;
        while (taken < conditions.Length && !conditions[taken].Holds(run, value))
        {
            taken++;
        }

        if (taken < branches.Length && !branches[taken].Run(run, value))
        {
            return false;
        }

        if (isNested && run.IsWritten)
        {
            run.FillNested();
        }

        return true;
    }
}
