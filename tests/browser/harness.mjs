// What every test has: a legacy application, a slidecar before it, and a browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";
import { SECRET, startLegacy } from "./legacy.mjs";

const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));

/** Hours scaled to seconds. The warning comes at half of the TTL, for a quarter is less than the least. */
export const TTL = 12;
const THRESHOLD = 8;
export const WARNING = TTL / 2;
const CLOCKS = {
  JWT_EXPIRES_IN: `${TTL}s`,
  SESSION_REFRESH_THRESHOLD: `${THRESHOLD}s`,
  SESSION_HEARTBEAT_INTERVAL: "1s",
  SESSION_TIMEOUT_BUFFER: "2s",
};

/** For tests in which nothing is to end: the warning comes 20 s before. */
export const LONG = { JWT_EXPIRES_IN: "60s", SESSION_REFRESH_THRESHOLD: "59s" };

export { pause };

/** What the predicate answers, once that is something. */
export async function until(what, predicate, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await predicate();
    if (found) return found;
    if (Date.now() > end) assert.fail(`not within ${seconds} s: ${what}`);
    await pause(25);
  }
}

/** That a moment, in epoch milliseconds, is when it should be. */
export function near(moment, expected, what) {
  const off = (moment - expected) / 1000;
  assert.ok(Math.abs(off) <= 1, `${what}: ${off.toFixed(2)} s off`);
}

async function startSidecar(upstream, settings) {
  const child = spawn(process.env.SLIDECAR ?? "../../target/debug/slidecar", [], {
    env: {
      SLIDECAR_UPSTREAM: upstream,
      SLIDECAR_LISTEN: "127.0.0.1:0",
      SLIDECAR_ADMIN_LISTEN: "127.0.0.1:0",
      SLIDECAR_WORKERS: "1",
      JWT_SECRET: SECRET,
      SESSION_CLIENT: "inject",
      ...CLOCKS,
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = [];
  const address = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      createInterface(stream).on("line", (line) => {
        lines.push(line);
        const found = /"event":"listening".*"address":"([^"]+)"/.exec(line);
        if (found) resolve(found[1]);
      });
    child.on("exit", () => reject(new Error(`slidecar does not start:\n${lines.join("\n")}`)));
  });
  const scheme = settings.SLIDECAR_TLS_CERT_FILE ? "https" : "http";
  // A debug build takes a second or two to compress the client, once: not while a test looks at the clock.
  const client = `${settings.SESSION_ENDPOINTS ?? "/auth"}/session-client.js`;
  if (scheme === "http") await (await fetch(`http://${address}${client}`)).arrayBuffer();
  return {
    origin: `${scheme}://${address.replace("127.0.0.1", "localhost")}`,
    lines,
    async stop() {
      child.removeAllListeners("exit");
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** Those of a service worker have no page. */
function pageOf(request) {
  try {
    return request.frame().page();
  } catch {
    return undefined;
  }
}

/** A browser profile before one address, which writes down what goes wrong in its pages and what the client sends. */
export class Visitor {
  errors = [];
  calls = [];

  static async arrive(browser, origin, path, options) {
    const visitor = new Visitor();
    visitor.origin = origin;
    visitor.path = path;
    visitor.context = await browser.newContext(options);
    visitor.context.setDefaultTimeout(20_000);
    visitor.context.on("weberror", (error) => visitor.errors.push(`uncaught: ${error.error()}`));
    visitor.context.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") visitor.errors.push(`${message.type()}: ${message.text()}`);
    });
    visitor.context.on("request", (request) => {
      const call = /\/session-(status|policy|heartbeat|logout)$/.exec(new URL(request.url()).pathname);
      if (call) visitor.calls.push({ what: call[1], at: Date.now(), request, page: pageOf(request), outcome: undefined });
    });
    for (const outcome of ["finished", "failed"])
      visitor.context.on(`request${outcome}`, (request) => {
        const call = visitor.calls.find((one) => one.request === request);
        if (call) call.outcome = outcome;
      });
    await visitor.context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
      // When the dialog got the title that it has. A busy machine draws it later, and tells a test of it later still.
      const { now } = Date;
      const { attachShadow } = Element.prototype;
      let title;
      Element.prototype.attachShadow = function (options) {
        const root = attachShadow.call(this, options);
        const look = () => {
          const was = title;
          title = root.querySelector("dialog[open] h2")?.textContent;
          if (title !== was) window.shownAt = now();
        };
        new MutationObserver(look).observe(root, { attributes: true, characterData: true, childList: true, subtree: true });
        return root;
      };
    });
    return visitor;
  }

  count(what, since = 0) {
    return this.calls.filter((call) => call.what === what && call.at >= since).length;
  }

  /** That the client of this page, whatever it shows, has asked the server since then and got an answer (or failed). */
  asked(page, outcome = "finished", since = 0) {
    const isIt = (call) => call.page === page && call.what !== "policy" && call.at >= since && call.outcome === outcome;
    return until(`a question to the server that has ${outcome}`, () => this.calls.some(isIt));
  }

  async open(path = this.path) {
    const page = await this.context.newPage();
    await page.goto(this.origin + path);
    return page;
  }

  async logIn({ client = true } = {}) {
    const page = await this.open();
    await page.getByRole("button", { name: "Log in" }).click();
    const since = Date.now();
    await page.getByText("Hello ada").waitFor();
    if (client) await this.asked(page, "finished", since - 1000);
    return page;
  }

  /** The session cookie as the browser holds it. */
  async cookie(name = "session") {
    return (await this.context.cookies()).find((cookie) => cookie.name === name);
  }

  /** When it ends, in epoch milliseconds. Its Max-Age is in whole seconds, so the token lives up to one longer. */
  async end(name) {
    const cookie = await this.cookie(name);
    return cookie && cookie.expires * 1000;
  }

  /** When the token in it ends. */
  async tokenEnd(name) {
    const { value } = await this.cookie(name);
    return JSON.parse(Buffer.from(value.split(".")[1], "base64url")).exp * 1000;
  }

  /** What was not expected to go wrong. */
  unexpected(expected) {
    return this.errors.filter((error) => !expected.some((pattern) => pattern.test(error)));
  }
}

export const warning = (page) => page.getByRole("dialog", { name: "Are you still there?" });
export const goodbye = (page) => page.getByRole("dialog", { name: "You are signed out" });
/** No dialog of any kind. */
export const quiet = async (page) => assert.equal(await page.getByRole("dialog").count(), 0, "a dialog is shown");

/** When the dialog was shown as this, in epoch milliseconds. */
export async function seenAt(dialog) {
  await dialog.waitFor();
  return dialog.page().evaluate(() => window.shownAt);
}

/**
 * Declares the tests of one file: `tests` maps a name to `[options, run]`. Each has its own application, slidecar and profile;
 * they run side by side, for most of their time is waiting.
 */
export function inBrowser(title, tests, { concurrency = 4, launch = {} } = {}) {
  describe(title, { concurrency }, () => {
    let browser;
    before(async () => {
      assert.ok(CHROMIUM, "no Chromium: tests/browser/install brings it");
      browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"], ...launch });
    });
    after(() => browser?.close());
    for (const [name, [options, run]] of Object.entries(tests)) {
      it(name, { timeout: 90_000 }, async () => {
        const legacy = await startLegacy(options.legacy);
        const visitors = [];
        let sidecar;
        const arrive = async (origin) => {
          const visitor = await Visitor.arrive(browser, origin, options.legacy?.path ?? "/", options.context);
          visitors.push(visitor);
          return visitor;
        };
        try {
          sidecar = await startSidecar(legacy.origin, options.settings ?? {});
          await run({ legacy, sidecar, arrive, visitor: await arrive(sidecar.origin) });
          const unexpected = visitors.flatMap((visitor) => visitor.unexpected(options.errors ?? []));
          assert.deepEqual(unexpected, [], "errors in the pages");
          // They are slidecar's own: the application must never hear of them.
          assert.deepEqual(legacy.seen.filter((line) => line.includes("/session-")), []);
        } finally {
          await Promise.all(visitors.map((visitor) => visitor.context.close()));
          await sidecar?.stop();
          legacy.stop();
        }
      });
    }
  });
}
