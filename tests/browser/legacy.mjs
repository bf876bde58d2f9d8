// A small legacy application as there are many: a login that sets a JWT cookie, plain HTML pages and an API. It knows nothing
// of slidecar, and nothing in its pages does.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

export const SECRET = "a-secret-of-the-legacy-application-01";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const signature = (text) => createHmac("sha256", SECRET).update(text).digest("base64url");

function sign(claims) {
  const text = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${text}.${signature(text)}`;
}

function verify(token) {
  const [header, payload, given] = (token ?? "").split(".");
  const expected = signature(`${header}.${payload}`);
  if (given?.length !== expected.length || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) return undefined;
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  return claims.exp > Date.now() / 1000 ? claims : undefined;
}

function cookies(request) {
  const pairs = (request.headers.cookie ?? "").split(/; */).map((pair) => pair.split("="));
  return Object.fromEntries(pairs);
}

const SCRIPT = `
const answer = document.querySelector("#answer");
let count = 0;
function call(path, options) {
  return fetch(path, options).then((response) => {
    count += 1;
    answer.textContent = response.ok ? "saved " + count : "please log in";
  });
}
document.querySelector("#save")?.addEventListener("click", () => call("api/save", { method: "POST" }));
document.querySelector("#logout")?.addEventListener("click", () => call("logout", { method: "POST" }));
// As old code does it, and without anybody's doing.
window.reload = () => {
  const request = new XMLHttpRequest();
  request.onload = () => { answer.textContent = "reloaded " + request.status; };
  request.open("GET", "api/list");
  request.send();
};
`;

/**
 * @param {object} [options]
 * @param {number} [options.tokenSeconds] how long its tokens live
 * @param {number} [options.cookieSeconds] the Max-Age of its cookie
 * @param {string} [options.cookieName]
 * @param {string} [options.cookieAttributes]
 * @param {string} [options.path] where it is mounted, with a slash at its end
 * @param {(nonce: string) => string} [options.csp]
 * @param {string} [options.worker] the script of its service worker
 */
export async function startLegacy(options = {}) {
  const {
    tokenSeconds = 7 * 86_400,
    cookieSeconds = 3600,
    cookieName = "session",
    cookieAttributes = "Path=/; HttpOnly; SameSite=Lax",
    path = "/",
    csp,
    worker,
  } = options;
  /** What it was asked for, and what the test wants to be answered late. */
  const seen = [];
  const gates = new Map();

  function html(response, body) {
    const nonce = randomUUID();
    if (csp) response.setHeader("Content-Security-Policy", csp(nonce));
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(
      `<!doctype html>\n<html lang="en">\n<head><title>Accounts</title><meta name="viewport" content="width=device-width">` +
        `<meta name="color-scheme" content="light dark"></head>\n` +
        `<body><main><h1>Accounts</h1>${body}<p id="answer" role="status"></p></main>` +
        `<script nonce="${nonce}">${SCRIPT}${worker ? `navigator.serviceWorker.register("${path}worker.js");` : ""}</script>` +
        `</body></html>\n`,
    );
  }

  function begin(response, claims = { sub: "ada", jti: randomUUID(), iat: Math.floor(Date.now() / 1000) }) {
    const token = sign({ ...claims, exp: Math.floor(Date.now() / 1000) + tokenSeconds });
    response.setHeader("Set-Cookie", `${cookieName}=${token}; Max-Age=${cookieSeconds}; ${cookieAttributes}`);
  }

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://legacy");
    seen.push(`${request.method} ${pathname}`);
    request.resume();
    const claims = verify(cookies(request)[cookieName]);
    const user = claims?.sub;
    const to = pathname.startsWith(path) ? pathname.slice(path.length) : undefined;
    await gates.get(to);
    if (to === "" && user) {
      html(
        response,
        `<p>Hello ${user}</p><label>Note <input id="note"></label> <button id="save">Save</button> ` +
          `<button id="logout">Log out</button> <a href="${path}other">Other page</a>`,
      );
    } else if (to === "") {
      html(response, `<form method="post" action="${path}login"><button>Log in</button></form>`);
    } else if (to === "other") {
      html(response, `<p>${user ?? "nobody"}</p><a href="${path}">Back</a> <button id="logout">Log out</button>`);
    } else if (to === "frame") {
      html(response, `<iframe src="${path}" title="The rest"></iframe> <label>Remark <input></label>`);
    } else if (to === "login") {
      begin(response);
      response.writeHead(303, { Location: path }).end();
    } else if (to === "logout") {
      response.setHeader("Set-Cookie", `${cookieName}=; Max-Age=0; ${cookieAttributes}`);
      response.writeHead(204).end();
    } else if (to === "api/slide") {
      // It slides by itself, whatever has happened since the request came.
      if (user) begin(response, claims);
      response.writeHead(user ? 200 : 401, { "Content-Type": "application/json" }).end("{}");
    } else if (to?.startsWith("api/")) {
      response.writeHead(user ? 200 : 401, { "Content-Type": "application/json" }).end(JSON.stringify({ user }));
    } else if (to === "worker.js" && worker) {
      response.writeHead(200, { "Content-Type": "text/javascript" }).end(worker);
    } else {
      response.writeHead(to === "favicon.ico" || pathname === "/favicon.ico" ? 204 : 404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    seen,
    /** Answers to this path wait until the function that this returns is called. */
    hold(to) {
      let open;
      gates.set(to, new Promise((resolve) => (open = resolve)));
      return open;
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
