using BkBase.Store.Engine;

namespace BkBase.Store.Http;

/// <summary>Connections kept by session_id, for temporary tables and settings; closed when idle.</summary>
internal sealed class Sessions : IDisposable
{
    private readonly StoreEngine _engine;
    private readonly TimeProvider _time;
    private readonly int _limit;
    private readonly Dictionary<string, Session> _sessions = new(StringComparer.Ordinal);
    private readonly ITimer _timer;

    public Sessions(StoreEngine engine, TimeProvider time, int limit)
    {
        (_engine, _time, _limit) = (engine, time, limit);
        _timer = time.CreateTimer(_ => Expire(), state: null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    public EngineConnection Enter(string id, TimeSpan timeout, bool mustExist)
    {
        lock (_sessions)
        {
            if (!_sessions.TryGetValue(id, out var session))
            {
                if (mustExist)
                {
                    throw EngineException.Of(EngineException.SessionNotFound, $"Session {id} not found", "SESSION_NOT_FOUND");
                }

                if (_sessions.Count >= _limit)
                {
                    throw EngineException.Of(EngineException.TooManySessions, $"Too many sessions, the limit is {_limit}", "TOO_MANY_SIMULTANEOUS_QUERIES");
                }

                _sessions[id] = session = new Session(_engine.Open());
            }
            else if (session.Busy)
            {
                throw EngineException.Of(EngineException.SessionIsLocked, $"Session {id} is locked by a concurrent client", "SESSION_IS_LOCKED");
            }

            (session.Busy, session.Timeout) = (true, timeout);
            return session.Connection;
        }
    }

    public void Leave(string id, bool clean)
    {
        EngineConnection connection;
        lock (_sessions)
        {
            connection = _sessions[id].Connection;
        }

        var usable = clean || Rinse(connection);
        lock (_sessions)
        {
            var session = _sessions[id];
            (session.Busy, session.Used) = (false, _time.GetTimestamp());
            if (!usable)
            {
                _sessions.Remove(id);
                _engine.Close(connection);
            }
        }
    }

    public void Dispose() => _timer.Dispose();

    /// <summary>A failed statement leaves its output behind, which comes before the next result: let it out, and look whether the connection is clean then.</summary>
    private static bool Rinse(EngineConnection connection)
    {
        for (var i = 0; i < 3; i++)
        {
            try
            {
                if (connection.QueryText("SELECT 1") == "1\n")
                {
                    return true;
                }
            }
            catch (EngineException)
            {
                return false;
            }
        }

        return false;
    }

    private void Expire()
    {
        lock (_sessions)
        {
            foreach (var (id, session) in _sessions.Where(s => !s.Value.Busy && _time.GetElapsedTime(s.Value.Used) > s.Value.Timeout).ToArray())
            {
                _sessions.Remove(id);
                _engine.Close(session.Connection);
            }
        }
    }

    private sealed class Session(EngineConnection connection)
    {
        public EngineConnection Connection { get; } = connection;

        public bool Busy { get; set; }

        public long Used { get; set; }

        public TimeSpan Timeout { get; set; }
    }
}
