"""The dashboard with real numbers, for who has no Grafana at hand: a Prometheus reads a slidecar under a little load for some
seconds, and every query of every panel is drawn, in the panel's place, as a page and a picture. See tests/deploy/preview."""

import contextlib
import html
import http.client
import http.server
import itertools
import json
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

from dashboard import dashboard
from house import TOOLS, check, command
from metrics import KEY, OTHER, free_port, get, redis, running, token, wait_for

SECONDS = 60
# A policy that is lived through within the preview.
POLICY = {
    "JWT_EXPIRES_IN": "20s",
    "SESSION_REFRESH_THRESHOLD": "12s",
    "SESSION_HEARTBEAT_INTERVAL": "3s",
    "SESSION_PASSIVE_PATHS": "/poll",
    "SESSION_LOGOUT_PATHS": "/logout",
    "SESSION_CLIENT": "inject",
    "JWT_PREVIOUS_SECRET": "the key before, of which nobody has a token any more",
    "JWT_PREVIOUS_UNTIL": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200)),
}
VARIABLES = {"$__rate_interval": "10s", "$job": ".*", "$namespace": ".*", "$instance": ".*"}
COLOURS = ["#3b78c3", "#e0752d", "#509e54", "#b877d9", "#d6483e", "#8f6a3a", "#3aa5a0", "#9a9a3c", "#777777", "#c25588"]


class Legacy(http.server.BaseHTTPRequestHandler):
    """An application that logs in and out, thinks now and then, and fails now and then."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path
        if path.startswith("/report"):
            time.sleep(random.uniform(0.02, 0.2))
        body = b"<!doctype html><html><head><title>legacy</title></head><body>hello</body></html>"
        self.send_response(500 if path == "/broken" else 200)
        if path.startswith("/login"):
            # Every third login still comes with the token of the sealed secret.
            seconds = 7 * 86400 if path.endswith("old") else 20
            self.send_header("Set-Cookie", f"session={token(KEY, seconds, sid=str(random.random()))}; Path=/; HttpOnly; Max-Age=3600")
        if path == "/logout":
            self.send_header("Set-Cookie", "session=; Path=/; Max-Age=0")
        self.send_header("Content-Type", "text/html; charset=utf-8" if path == "/" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def person(port, number, until):
    """Somebody at work: logs in, clicks, lets pages poll, logs out now and then."""
    chance, cookies = random.Random(number), {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for turn in itertools.count():
        if time.time() > until:
            return
        if "session" not in cookies:
            path = "/login/old" if (number + turn) % 3 == 0 else "/login"
        else:
            path = chance.choices(["/", "/users/17/edit", "/orders", "/poll/news", "/report/3", "/broken", "/logout"], [8, 6, 9, 8, 3, 0.3, 0.4])[0]
        connection.request("GET", path, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})
        answer = connection.getresponse()
        answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            if value and "max-age=0" not in line.lower():
                cookies[name] = value
            else:
                cookies.pop(name, None)
        time.sleep(chance.uniform(0.05, 0.2))


def stranger(port, until):
    """Cookies of another key, an odd path, and nobody."""
    while time.time() < until:
        for path, cookie in (("/", None), ("/", token(OTHER, 600)), ("/%zz", None), ("/orders", "no-token-at-all")):
            get(port, path, cookie)
        time.sleep(0.5)


@contextlib.contextmanager
def prometheus(admin, work):
    settings = work / "prometheus.yml"
    targets = [{"job_name": "legacy", "static_configs": [{"targets": [f"127.0.0.1:{admin}"], "labels": {"namespace": "shop"}}]}]
    settings.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": targets}))
    port = free_port()
    arguments = [f"--config.file={settings}", f"--storage.tsdb.path={work / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen([TOOLS / "prometheus", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: get(port, "/-/ready")[0] == 200, "Prometheus did not start")
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port, expression, begin, end):
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    query = urllib.parse.urlencode({"query": expression, "start": begin, "end": end, "step": 1})
    status, body = get(port, f"/api/v1/query_range?{query}")
    check(status == 200, f"Prometheus answers {status} to {expression}: {body}")
    return json.loads(body)["data"]["result"]


def legend(template, labels):
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def unit(value, kind):
    if kind == "s":
        steps = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
        size, word = next((step for step in steps if abs(value) >= step[0]), (1, "s"))
        return f"{value / size:.3g} {word}"
    if kind == "bytes":
        return f"{value / 1048576:.3g} MiB"
    return f"{value:.3g}" + (" req/s" if kind == "reqps" else "")


def drawn(panel, series, begin, end):
    kind = panel["fieldConfig"]["defaults"]["unit"]
    if not series:
        return '<p class="none">no data</p>'
    if panel["type"] == "stat":
        cells = [f"<div><b>{unit(float(points[-1][1]), kind)}</b><i>{html.escape(name)}</i></div>" for name, points in series]
        return f'<div class="stats">{"".join(cells)}</div>'
    values = [float(value) for _, points in series for _, value in points if value != "NaN"]
    top = max(values, default=1) or 1
    lines, words = [], []
    for colour, (name, points) in zip(itertools.cycle(COLOURS), series):
        where = (
            f"{(at - begin) / (end - begin) * 400:.1f},{120 - float(value) / top * 110:.1f}" for at, value in points if value != "NaN"
        )
        lines.append(f'<polyline points="{" ".join(where)}" stroke="{colour}"/>')
        if any(float(value) for _, value in points if value != "NaN"):
            words.append(f'<span style="color:{colour}">{html.escape(name)}</span>')
    return (
        f'<svg viewBox="0 0 400 125" preserveAspectRatio="none"><path d="M0 120H400M0 65H400M0 10H400"/>{"".join(lines)}</svg>'
        f'<small>top: {unit(top, kind)}</small><p class="legend">{" ".join(words)}</p>'
    )


STYLE = """body{font:13px system-ui;margin:12px;background:#f4f5f5;color:#222}main{display:grid;grid-template-columns:repeat(24,1fr);gap:8px}
section{background:#fff;border:1px solid #ddd;padding:8px;position:relative;min-height:190px}h2{grid-column:1/-1;font-size:16px;margin:8px 0 0}
h3{font-size:13px;margin:0 0 6px}svg{width:100%;height:125px}polyline{fill:none;stroke-width:1.4;vector-effect:non-scaling-stroke}path{stroke:#e5e5e5;vector-effect:non-scaling-stroke}
small{position:absolute;top:8px;right:8px;color:#888}.legend{margin:4px 0 0;font-size:11px}.legend span{margin-right:8px}.none{color:#aaa;text-align:center;margin-top:60px}
.stats{display:flex;flex-wrap:wrap;gap:24px;padding:24px 12px}.stats b{display:block;font-size:26px}.stats i{color:#777;font-style:normal}"""


def page(port, begin, end):
    parts, empty = [], []
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            parts.append(f"<h2>{html.escape(panel['title'])}</h2>")
            continue
        series = [
            (legend(target["legendFormat"], found["metric"]), found["values"])
            for target in panel["targets"]
            for found in ask(port, target["expr"], begin, end)
        ]
        if not series:
            empty.append(panel["title"])
        width = panel["gridPos"]["w"]
        body = drawn(panel, series, begin, end)
        parts.append(f'<section style="grid-column:span {width}"><h3>{html.escape(panel["title"])}</h3>{body}</section>')
    return f"<!doctype html><meta charset=utf-8><title>slidecar</title><style>{STYLE}</style><main>{''.join(parts)}</main>", empty


def main():
    check(len(sys.argv) == 2, "name the folder to write into")
    folder = pathlib.Path(sys.argv[1]).resolve()
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Legacy)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with contextlib.ExitStack() as stack:
        settings = {**POLICY, "SESSION_STORE": stack.enter_context(redis())}
        clients, admin = stack.enter_context(running(backend.server_address[1], **settings))
        port = stack.enter_context(prometheus(admin, folder / "work"))
        begin = time.time()
        until = begin + SECONDS
        crowd = [threading.Thread(target=person, args=(clients, number, until)) for number in range(8)]
        crowd.append(threading.Thread(target=stranger, args=(clients, until)))
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
        text, empty = page(port, begin + 5, time.time())
    shutil.rmtree(folder / "work")
    (folder / "dashboard.html").write_text(text)
    print(f"{folder}/dashboard.html; without data: {', '.join(empty) or 'none'}")
    if shutil.which("chromium"):
        picture = folder / "dashboard.png"
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,2000", f"--screenshot={picture}"]
        command("chromium", *flags, f"file://{folder}/dashboard.html", timeout=60)
        print(picture)


main()
