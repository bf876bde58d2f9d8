"""What slidecar wants to reach against its peers, and whether it does."""

from measure import median, ratio


def cpu(job, other):
    return lambda results: ratio(results["cpu"][job], results["cpu"][other], "cpu_us")


def added_p50(results):
    peers = results["latency"]["peers"]
    return ratio(peers["slidecar"], peers["nginx"], "added_p50_us")


def p99(results):
    rounds = (results["latency"]["peers"][name]["rounds"] for name in ("slidecar", "nginx", "haproxy"))
    return median(own["p99_us"] / min(nginx["p99_us"], haproxy["p99_us"]) for own, nginx, haproxy in zip(*rounds))


# What, how, goal, stretch; all are at most.
GOALS = [
    ("CPU, session / plain nginx", cpu("slidecar session", "nginx"), 1.00, 0.95),
    ("CPU, session / nginx + lua HS256", cpu("slidecar session", "nginx + lua HS256"), 0.84, 0.78),
    ("CPU, session / Envoy jwt_authn", cpu("slidecar session", "envoy jwt_authn"), 0.38, 0.33),
    ("CPU, session uncached / HAProxy jwt_verify with claims", cpu("slidecar session, 60000 tokens", "haproxy jwt_verify"), 0.75, 0.66),
    ("CPU, renewing every request / HAProxy merely verifying", cpu("slidecar renewing all", "haproxy jwt_verify"), 0.90, 0.80),
    ("CPU, anonymous / HAProxy", cpu("slidecar anonymous", "haproxy"), 0.95, 0.86),
    ("CPU, 64 KiB answers / nginx", cpu("slidecar, 64 KiB", "nginx, 64 KiB"), 0.50, 0.45),
    ("CPU, 64 KiB answers / HAProxy", cpu("slidecar, 64 KiB", "haproxy, 64 KiB"), 0.80, 0.70),
    ("socket calls per request", lambda results: results["syscalls"]["slidecar"]["socket_io"], 4.05, 4.00),
    ("p50 added / by nginx", added_p50, 1.02, 0.97),
    ("p99 / better of nginx, HAProxy", p99, 1.10, 1.00),
    ("idle memory, MB", lambda results: results["memory"]["slidecar"]["idle_kb"] / 1024, 8, 4),
    ("bytes per idle connection, of 9500", lambda results: results["memory"]["slidecar"]["9500 connections, 15 s idle"], 2500, 1100),
    ("start to first answer, ms", lambda results: results["start"]["slidecar"]["ms"], 20, 10),
]


def judged(results):
    rows = []
    for what, how, goal, stretch in GOALS:
        try:
            value = how(results)
        except KeyError:
            # Its section did not run, or that peer is not there.
            value = None
        verdict = "not measured" if value is None else "beyond" if value <= stretch else "met" if value <= goal else "missed"
        rows.append({"what": what, "value": value, "goal": goal, "stretch": stretch, "verdict": verdict})
    return rows
