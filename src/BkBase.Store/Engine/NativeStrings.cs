using System.Runtime.InteropServices;
using System.Text;

namespace BkBase.Store.Engine;

/// <summary>Texts as arrays of pointers and lengths, alive until disposed.</summary>
internal sealed unsafe class NativeStrings : IDisposable
{
    private readonly nint[] _pointers;
    private readonly nuint[] _lengths;
    private readonly GCHandle _pinnedPointers;
    private readonly GCHandle _pinnedLengths;

    public NativeStrings(IEnumerable<string> texts)
    {
        var list = texts.ToArray();
        _pointers = [.. list.Select(Marshal.StringToCoTaskMemUTF8)];
        _lengths = [.. list.Select(t => (nuint)Encoding.UTF8.GetByteCount(t))];
        _pinnedPointers = GCHandle.Alloc(_pointers, GCHandleType.Pinned);
        _pinnedLengths = GCHandle.Alloc(_lengths, GCHandleType.Pinned);
    }

    public int Count => _pointers.Length;

    public byte** Pointers => (byte**)_pinnedPointers.AddrOfPinnedObject();

    public nuint* Lengths => (nuint*)_pinnedLengths.AddrOfPinnedObject();

    public void Dispose()
    {
        _pinnedPointers.Free();
        _pinnedLengths.Free();
        foreach (var pointer in _pointers)
        {
            Marshal.FreeCoTaskMem(pointer);
        }
    }
}
