namespace BkBase.Lab;

/// <summary>How many messages are due at a steady rate; the host brings the elapsed time.</summary>
/// <param name="perSecond">Messages per second of elapsed time.</param>
public sealed class LabPace(double perSecond)
{
    private long _taken;

    /// <summary>The messages now due that were not taken before, at most so many.</summary>
    public int Take(TimeSpan elapsed, int most)
    {
        var due = (int)Math.Clamp((long)(elapsed.TotalSeconds * perSecond) - _taken, 0, most);
        _taken += due;
        return due;
    }
}
