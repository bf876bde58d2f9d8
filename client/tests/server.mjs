// A server that speaks as slidecar does, with a session that the test can change, and a page with a strict policy.
import { buildSync } from "esbuild";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

export const POLICY = { accessTokenTtlMs: 7_200_000, heartbeatIntervalMs: 600_000, sessionTimeoutMs: 7_500_000, refreshThresholdMs: 3_600_000 };
const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'";

const page = (head, body) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Accounts</title><link rel="stylesheet" href="/page.css">${head}</head><body>${body}</body></html>`;
const FORM = `<header>Accounts</header><main><h1>Transfer</h1><label>To <input id="to" value="Harbour Rowing Club"></label>
<label>Amount <input value="120.00"></label><label>Note <textarea rows="4">Boat house, second half</textarea></label><button id="go">Send</button></main>`;
const CSS = `body{margin:0;font:16px/1.5 Georgia,serif;background:#eef1f5;color:#1c2733}header{padding:16px 24px;background:#1c2733;color:#fff}
main{max-width:34rem;margin:32px auto;padding:0 24px;display:grid;gap:16px}label{display:grid;gap:4px}input,textarea{font:inherit;padding:8px;border:1px solid #aab}
button{font:inherit;padding:8px 16px;justify-self:start;text-transform:uppercase;color:#a00}h1{margin:0}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#dde}input,textarea{background:#222a33;color:#dde;border-color:#456}}`;

export async function serve() {
  /** @type {{ endsAt: number | undefined, ttl: number, renews: boolean, absolute: number | null, down: boolean, calls: string[], url: string, close: () => void, isAlive: () => boolean, count: (what: string) => number }} */
  const server = {
    /** Milliseconds left when asked at `from`; undefined is no session. */
    endsAt: Date.now() + POLICY.accessTokenTtlMs,
    ttl: POLICY.accessTokenTtlMs,
    renews: true,
    absolute: null,
    down: false,
    calls: [],
    url: "",
    close: () => {},
    isAlive: () => server.endsAt !== undefined && server.endsAt > Date.now(),
    count: (what) => server.calls.filter((call) => call === what).length,
  };
  const tell = (response) => {
    if (!server.isAlive()) return;
    const now = Date.now();
    response.setHeader("Session-Expires-In", Math.floor((server.endsAt - now) / 1000));
    response.setHeader("Session-Policy-Version", "v1");
    response.setHeader("Server-Timing", ["db;dur=5", `session;dur=${server.endsAt - now};desc="${now}"`]);
  };
  const json = (response, body) => response.setHeader("Content-Type", "application/json").end(JSON.stringify(body));
  const answers = {
    "GET /auth/session-policy": (response) => json(response, POLICY),
    "GET /auth/session-status": (response) =>
      !server.isAlive()
        ? json(response, { active: false, reason: "expired" })
        : json(response, { active: true, class: "standard", expiresInMs: server.endsAt - Date.now(), renewsInMs: 0, absoluteExpiresInMs: server.absolute }),
    "POST /auth/session-heartbeat": (response) => {
      if (!server.isAlive()) return response.writeHead(401).end("{}");
      if (server.renews) server.endsAt = Date.now() + server.ttl;
      tell(response);
      response.writeHead(204).end();
    },
    "POST /auth/session-logout": (response) => {
      server.endsAt = undefined;
      for (const name of ["Session-Expires-In", "Session-Policy-Version", "Server-Timing"]) response.removeHeader(name);
      response.writeHead(204).end();
    },
    "GET /api": (response) => {
      if (server.renews && server.isAlive()) server.endsAt = Date.now() + server.ttl;
      tell(response);
      json(response, {});
    },
    "GET /auth/session-client.js": (response) =>
      response.setHeader("Content-Type", "text/javascript").end(readFileSync(`${dist}served/session-client.js`, "utf8").replace('"__SLIDECAR_POLICY__"', JSON.stringify(POLICY))),
    "GET /page.css": (response) => response.setHeader("Content-Type", "text/css").end(CSS),
    "GET /": (response) => response.setHeader("Content-Type", "text/html").end(page('<script src="/auth/session-client.js" defer></script>', FORM)),
    "GET /login": (response) => response.setHeader("Content-Type", "text/html").end(page('<script src="/auth/session-client.js"></script>', "<h1>Sign in</h1>")),
    "GET /react": (response) => response.setHeader("Content-Type", "text/html").end(page('<script src="/react.js" defer></script>', '<div id="root"></div>')),
    "GET /react.js": (response) =>
      response
        .setHeader("Content-Type", "text/javascript")
        .end(buildSync({ entryPoints: [fileURLToPath(new URL("app.js", import.meta.url))], bundle: true, write: false, define: { "process.env.NODE_ENV": '"development"' } }).outputFiles[0].text),
    "GET /own": (response) =>
      response.setHeader("Content-Type", "text/html").end(page('<script type="module" src="/dist/dialog.js"></script>', `${FORM}<session-keepalive warning="Noch da?|Gleich ist Schluss.|Bleiben|Gehen"></session-keepalive>`)),
  };
  const http = createServer((request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    const call = `${request.method} ${path}`;
    server.calls.push(call);
    if (server.down && path !== "/page.css") return request.socket.destroy();
    response.setHeader("Content-Security-Policy", CSP).setHeader("Cache-Control", "no-store");
    if (path.startsWith("/dist/")) return response.setHeader("Content-Type", "text/javascript").end(readFileSync(dist + path.slice(6)));
    tell(response);
    const answer = answers[call];
    if (answer) answer(response);
    else response.writeHead(404).end();
  });
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  server.url = `http://127.0.0.1:${http.address().port}`;
  server.close = () => {
    http.closeAllConnections();
    http.close();
  };
  return server;
}
