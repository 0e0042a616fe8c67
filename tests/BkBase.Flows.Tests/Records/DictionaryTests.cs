using System.Text;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Records;

public sealed class DictionaryTests
{
    [Fact]
    public void Equal_bytes_have_one_id_and_ids_give_the_bytes_back()
    {
        var dictionary = new StringDictionary();
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var round = 0; round < 2; round++)
        {
            for (var i = 0; i < 50_000; i++)
            {
                var text = $"pod-{i % 20_000}-{new string('x', i % 37)}";
                var id = dictionary.Intern(Encoding.UTF8.GetBytes(text));
                Assert.Equal(ids.TryGetValue(text, out var known) ? known : id, id);
                ids[text] = id;
            }
        }

        Assert.Equal(ids.Count + 1, dictionary.Count);
        Assert.All(ids, pair => Assert.Equal(pair.Key, dictionary.Text(pair.Value)));
    }

    [Fact]
    public void Empty_text_is_id_0_and_large_texts_are_kept()
    {
        var dictionary = new StringDictionary();
        Assert.Equal(0, dictionary.Intern(""));
        var large = new string('y', 200_000);
        var a = dictionary.Intern(large);
        var b = dictionary.Intern("small");
        Assert.Equal(large, dictionary.Text(a));
        Assert.Equal("small", dictionary.Text(b));
        Assert.Equal(a, dictionary.Intern(large));
    }

    [Fact]
    public void Dictionary_is_full_at_its_bound_and_the_builder_swaps_it_between_batches()
    {
        var builder = new BatchBuilder(new Schema(Schema.Time, new Field("pod", ColumnType.String, FieldRole.Dimension)), dictionaryBytesMax: 2_000);
        var first = builder.Strings;
        for (var i = 0; i < 200; i++)
        {
            builder.SetInt64(0, i);
            builder.SetString(1, Encoding.UTF8.GetBytes($"pod-{i}"));
            builder.CommitRow();
        }

        var batch = builder.Build(new Lineage("s", 0, 0, 199));
        Assert.NotSame(first, builder.Strings);
        Assert.Equal(1, builder.Generation);
        Assert.Equal("pod-199", batch["pod"].GetValue(199));
    }

    [Fact]
    public void Equal_maps_have_one_id_whatever_the_order_of_their_pairs_and_the_later_of_a_repeated_key_wins()
    {
        var maps = new MapDictionary(new StringDictionary());
        MapPair Pair(string k, string v) => new(maps.Strings.Intern(k), maps.Strings.Intern(v));
        var a = maps.Intern([Pair("b", "2"), Pair("a", "1")]);
        Assert.Equal(a, maps.Intern([Pair("a", "1"), Pair("b", "2")]));
        Assert.Equal(a, maps.Intern([Pair("a", "9"), Pair("b", "2"), Pair("a", "1")]));
        Assert.NotEqual(a, maps.Intern([Pair("a", "1")]));
        Assert.Equal(0, maps.Intern([]));
        Assert.Equal(["a", "b"], maps[a].ToArray().Select(p => maps.Strings.Text(p.Key)));
    }
}
