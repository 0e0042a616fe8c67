using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Of the properties of an object, which is the last of its name; time linear in their number. Reused.</summary>
internal sealed class LastOfName
{
    private const int FewMax = 16;
    private const int BytesMax = 1 << 20;

    private StringDictionary? _names;
    private int[] _starts = [];
    private bool _isFew;

    /// <summary>Reads the names of an object, to be asked about its properties.</summary>
    public void Read(in JsonItem properties)
    {
        var count = 0;
        foreach (var unused in properties.Properties)
        {
            count++;
        }

        _isFew = count <= FewMax;
        if (_isFew)
        {
            return;
        }

        if (_names is null || _names.IsFull)
        {
            _names = new StringDictionary(BytesMax);
        }

        foreach (var value in properties.Properties)
        {
            var id = _names.Intern(value.Name);
            if (id >= _starts.Length)
            {
                Array.Resize(ref _starts, (id + 1) * 2);
            }

            _starts[id] = value.Start;
        }
    }

    /// <summary>Whether <paramref name="value"/>, a property of the object read, counts.</summary>
    public bool Is(in JsonItem properties, in JsonItem value) =>
        (_isFew ? properties[value.Name].Start : _starts[_names!.Find(value.Name)]) == value.Start;
}
