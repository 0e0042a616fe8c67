namespace BkBase.Lab;

/// <summary>The text of log lines; each workload has its own format.</summary>
internal static class LogLines
{
    private static ReadOnlySpan<byte> Path(ulong dice) => LabHash.Below(dice, 5) switch
    {
        0 => "/api/v1/orders"u8,
        1 => "/api/v1/users/42"u8,
        2 => "/healthz"u8,
        3 => "/api/v2/search?q=sword&page=2"u8,
        _ => "/static/app.js"u8,
    };

    internal static void Write(LabPen pen, LabPod pod, long at, ulong dice)
    {
        var storm = pod.Suffers(IncidentKind.LogStorm, at) is not null;
        if (pod.Suffers(IncidentKind.CrashLoop, at) is not null)
        {
            pen.Time(at, (byte)'T', true);
            pen.Raw("Z FATAL cannot start: dial tcp 10.0.0.9:3306: connect: connection refused"u8);
            return;
        }

        var failed = LabHash.Below(dice, 100) < (storm ? 80 : 3);
        var more = LabHash.Mix(dice, 1);
        switch (pod.WorkloadBytes[0] % 4)
        {
            case 0:
                Access(pen, pod, at, more, failed);
                break;
            case 1:
                Json(pen, pod, at, more, failed);
                break;
            case 2:
                Java(pen, at, more, failed);
                break;
            default:
                Pairs(pen, at, more, failed);
                break;
        }
    }

    private static void Access(LabPen pen, LabPod pod, long at, ulong dice, bool failed)
    {
        pen.Raw(pod.Node.IpBytes);
        pen.Raw(" - - ["u8);
        pen.Time(at, (byte)'T', true);
        pen.Raw("Z] \"GET "u8);
        pen.Raw(Path(dice));
        pen.Raw(" HTTP/1.1\" "u8);
        pen.Raw(failed ? "502 "u8 : "200 "u8);
        pen.Int(200 + LabHash.Below(LabHash.Mix(dice), 20_000));
        pen.Raw(" \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" "u8);
        pen.Number((failed ? 3 : 0.02) * (0.5 + LabHash.Unit(dice)));
    }

    private static void Json(LabPen pen, LabPod pod, long at, ulong dice, bool failed)
    {
        pen.Raw("{\"ts\":\""u8);
        pen.Time(at, (byte)'T', true);
        pen.Raw("Z\",\"level\":\""u8);
        pen.Raw(failed ? "error"u8 : "info"u8);
        pen.Raw("\",\"service\":\""u8);
        pen.Raw(pod.WorkloadBytes);
        pen.Raw(failed ? "\",\"msg\":\"upstream \\\"db\\\" timed out\",\"path\":\""u8 : "\",\"msg\":\"request done\",\"path\":\""u8);
        pen.Raw(Path(dice));
        pen.Raw("\",\"cost_ms\":"u8);
        pen.Int(failed ? 3000 : 1 + LabHash.Below(LabHash.Mix(dice), 200));
        pen.Raw(",\"trace_id\":\""u8);
        pen.Hex(dice);
        pen.Hex(LabHash.Mix(dice, 9));
        pen.Raw("\"}"u8);
    }

    private static void Java(LabPen pen, long at, ulong dice, bool failed)
    {
        pen.Time(at, (byte)' ', true);
        if (!failed)
        {
            pen.Raw(" INFO  [http-nio-8080-exec-"u8);
            pen.Int(1 + LabHash.Below(dice, 16));
            pen.Raw("] c.t.shop.OrderService - order "u8);
            pen.Int(100_000 + LabHash.Below(LabHash.Mix(dice), 900_000));
            pen.Raw(" accepted"u8);
            return;
        }

        pen.Raw(" ERROR [http-nio-8080-exec-"u8);
        pen.Int(1 + LabHash.Below(dice, 16));
        pen.Raw("] c.t.shop.OrderService - request failed\njava.lang.IllegalStateException: Timeout waiting for idle object"u8);
        pen.Raw("\n\tat com.tencent.shop.Pool.borrow(Pool.java:212)\n\tat com.tencent.shop.OrderService.place(OrderService.java:"u8);
        pen.Int(40 + LabHash.Below(dice, 200));
        pen.Raw(")\n\tat java.base/java.lang.Thread.run(Thread.java:840)"u8);
    }

    private static void Pairs(LabPen pen, long at, ulong dice, bool failed)
    {
        pen.Raw("time="u8);
        pen.Time(at, (byte)'T', true);
        pen.Raw("Z level="u8);
        pen.Raw(failed ? "error msg=\"write failed\" err=\"no space left on device\""u8 : "info msg=\"flush done\""u8);
        pen.Raw(" rows="u8);
        pen.Int(LabHash.Below(dice, 5000));
        pen.Raw(" shard="u8);
        pen.Int(LabHash.Below(LabHash.Mix(dice), 16));
    }
}
