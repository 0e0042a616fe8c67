using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Records;

public sealed class SpanCacheTests
{
    private const int BytesMax = 1 << 18;

    [Fact]
    public void What_is_found_is_what_was_added()
    {
        var random = new Random(3);
        var cache = new SpanCache(2, BytesMax);
        var found = 0;
        for (var i = 0; i < 200_000; i++)
        {
            var key = Key(random.Next(3000));
            var values = cache.Find(key);
            if (values.IsEmpty)
            {
                cache.Add(key, [Sum(key), key.Length]);
            }
            else
            {
                found++;
                Assert.Equal(Sum(key), values[0]);
                Assert.Equal(key.Length, values[1]);
            }
        }

        Assert.True(found > 50_000);
        Assert.InRange(cache.Bytes, BytesMax, BytesMax * 2);
    }

    [Fact]
    public void Keys_that_never_come_back_take_no_memory_and_wash_out_little()
    {
        var cache = new SpanCache(1, BytesMax);
        for (var i = 0; i < 20_000; i++)
        {
            Touch(cache, i);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        var hits = 0;
        Span<byte> key = stackalloc byte[64];
        for (var i = 0; i < 20_000; i++)
        {
            key.Fill((byte)(i % 200));
            if (cache.Find(key).IsEmpty)
            {
                cache.Add(key, [i]);
            }
            else
            {
                hits++;
            }

            BitConverter.TryWriteBytes(key, i);
            cache.Add(key, [i]);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.InRange(hits, 12_000, 20_000);
    }

    [Fact]
    public void Twice_as_many_keys_as_fit_still_hit()
    {
        // Keys and table of a ring that is full hold about 2000 of these.
        var cache = new SpanCache(1, BytesMax);
        var hits = 0;
        for (var round = 0; round < 20; round++)
        {
            hits = 0;
            for (var i = 0; i < 4000; i++)
            {
                hits += Touch(cache, i, 124) ? 1 : 0;
            }
        }

        Assert.InRange(hits, 800, 3000);
    }

    [Fact]
    public void Long_keys_are_left_out_and_clearing_forgets()
    {
        var cache = new SpanCache(1, BytesMax);
        var huge = new byte[BytesMax];
        cache.Add(huge, [1]);
        Assert.True(cache.Find(huge).IsEmpty);
        Assert.False(Touch(cache, 1));
        Assert.True(Touch(cache, 1));
        cache.Clear();
        Assert.False(Touch(cache, 1));
    }

    private static bool Touch(SpanCache cache, int number, int length = 40)
    {
        Span<byte> key = stackalloc byte[length];
        key.Clear();
        BitConverter.TryWriteBytes(key, number);
        if (!cache.Find(key).IsEmpty)
        {
            return true;
        }

        cache.Add(key, [number]);
        return false;
    }

    private static byte[] Key(int number)
    {
        var random = new Random(number);
        var key = new byte[1 + random.Next(200)];
        random.NextBytes(key);
        return key;
    }

    private static int Sum(byte[] key) => key.Sum(b => b);
}
