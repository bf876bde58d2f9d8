"""Tables, as Markdown: for the terminal and for the record."""

import datetime
import os
import pathlib
import platform
import re
import shutil
import subprocess

from measure import ratio

HERE = pathlib.Path(__file__).resolve().parent
# Below it the proxy had time to spare, and its CPU time holds sleeping and waking.
SATURATED = 0.9


def said(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def stolen_and_all():
    """Clock ticks that the host took from this machine, and all of them."""
    ticks = [int(tick) for tick in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def machine(slidecar, envoy):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    binaries = {"slidecar": slidecar, "nginx": shutil.which("nginx"), "haproxy": shutil.which("haproxy"), "envoy": envoy}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory_gib": round(int(memory[1]) / 1024 / 1024),
        "kernel": f"{platform.system()} {platform.release()}",
        "versions": {
            "slidecar": f"{said(slidecar, '--version').removeprefix('slidecar ')}, commit {said('git', '-C', HERE, 'describe', '--always', '--dirty')}",
            "nginx": said("nginx", "-v").rsplit("/", 1)[-1],
            "haproxy": said("haproxy", "-v").split()[2],
            "envoy": said(envoy, "--version").rsplit("version: ", 1)[-1].split("/")[1],
            "h2load": said("h2load", "--version").rsplit("/", 1)[-1],
            "rustc": said("rustc", "--version").split()[1],
        },
        "binary_bytes": {name: pathlib.Path(path).stat().st_size for name, path in binaries.items()},
    }


def table(title, head, rows):
    """Aligned, so that it can be read before anything renders it."""
    cells = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths))) + " |"
             for row in cells]
    rule = "|" + "|".join("-" * (width + 2) if place == 0 else "-" * (width + 1) + ":" for place, width in enumerate(widths)) + "|"
    return "\n".join([f"### {title}", "", lines[0], rule, *lines[1:]])


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


COLUMNS = ["CPU µs", "user", "system", "requests/s", "busy", "ratio"]


def cpu_rows(rows):
    """The last column is the CPU time beside the first row's, round by round."""
    first = next(iter(rows.values()))
    for name, row in rows.items():
        user = row["user_share"] * row["cpu_us"]
        yield [name, number(row["cpu_us"]), number(user), number(row["cpu_us"] - user), f"{row['requests_per_second']:.0f}",
               busy(row), number(ratio(row, first, "cpu_us"))]


def busy(row):
    return number(row["busy"]) + ("" if row["busy"] >= SATURATED else " *")


def text(results):
    parts = [table("Goals", ["", "now", "goal", "stretch", "verdict"],
                   [[row["what"], number(row["value"]), row["goal"], row["stretch"], row["verdict"]] for row in results["goals"]])]
    if "cpu" in results:
        parts.append(table("CPU per request, one core, 64 connections", ["", *COLUMNS], cpu_rows(results["cpu"])))
        if missing := results.get("not_supported"):
            parts.append("Not supported by this binary, so not measured: " + ", ".join(missing) + ".")
    for title, rows in results.get("growth", {}).items():
        parts.append(table(f"slidecar's CPU per request by {title}", [title, *COLUMNS], cpu_rows(rows)))
    if "latency" in results:
        one = results["latency"]
        names = ("p50_us", "p90_us", "p99_us", "added_p50_us")
        parts.append(table(f"Latency at {one['rate']} requests/s, µs", ["", "p50", "p90", "p99", "added p50"],
                           [[name, *(number(row[key], 0) for key in names)] for name, row in one["peers"].items()]))
    if "memory" in results:
        rows = results["memory"]
        keys = list(next(iter(rows.values())))[1:]
        parts.append(table("Memory: idle, and bytes for each idle connection", ["", "idle MB", *keys],
                           [[name, number(row["idle_kb"] / 1024, 1), *(number(row[key], 0) for key in keys)] for name, row in rows.items()]))
    if "syscalls" in results:
        parts.append(table("System calls per request", ["", "moving bytes of sockets", "all, by name"],
                           [[name, number(row["socket_io"]), ", ".join(f"{call} {count:.2f}" for call, count in row["calls"].items())]
                            for name, row in results["syscalls"].items()]))
    if "start" in results:
        sizes = results["machine"]["binary_bytes"]
        parts.append(table("Start to the first answer, and the binary", ["", "ms", "MB"],
                           [[name, number(row["ms"], 1), number(sizes[name] / 1e6, 1)] for name, row in results["start"].items()]))
    for protocol, rows in results.get("tls", {}).items():
        parts.append(table(protocol, ["", "CPU µs", "requests/s", "busy", "ratio"],
                           [[name, number(row["cpu_us"]), f"{row['requests_per_second']:.0f}", busy(row), number(ratio(row, rows["nginx"], "cpu_us"))]
                            for name, row in rows.items()]))
    if "websocket" in results:
        parts.append(table("WebSocket, per message and its echo", ["", *COLUMNS], cpu_rows(results["websocket"])))
    parts.append(f"`*` the proxy had time to spare, so its figure holds sleeping and waking. The run took {results['seconds']:.0f} s; "
                 f"the host took {results['stolen']:.0%} of the machine's time meanwhile." +
                 ("" if results["realtime"] else " Real-time priority was not permitted: other processes show."))
    return "\n\n".join(parts)


def record(path, results, tables, command):
    one = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    path.write_text(f"""# Results

Written by `{command}`; what is measured and how: `benches/peers/README.md`.

- {one["date"]}, {one["cpu"]}, {one["memory_gib"]} GiB, {one["kernel"]}
- {versions}

{tables}
""")
