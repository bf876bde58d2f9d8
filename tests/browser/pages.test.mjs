// Pages of all kinds: strict policies, cookies with conditions, and pages that the browser keeps.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { LONG, WARNING, goodbye, inBrowser, near, quiet, seenAt, until, warning } from "./harness.mjs";

const folder = mkdtempSync(join(tmpdir(), "slidecar-browser-"));
const [key, certificate] = [join(folder, "key.pem"), join(folder, "cert.pem")];
execFileSync("openssl", [
  ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
  ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
], { stdio: "ignore" });
after(() => rmSync(folder, { recursive: true }));

/** Warned, extended, and at the end out. */
async function lives(visitor, page, name) {
  await seenAt(warning(page));
  const before = await visitor.end(name);
  await page.getByRole("button", { name: "Stay signed in" }).click();
  await warning(page).waitFor({ state: "hidden" });
  assert.ok((await visitor.end(name)) > before);
}

const strict = (nonce) => `default-src 'self'; script-src 'nonce-${nonce}'; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'`;

inBrowser("pages", {
  "b8 a strict policy with nonce and trusted types: the client runs and breaks no rule": [
    { legacy: { csp: strict } },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await lives(visitor, page);
      // The style has been let in too: without it the button would be as the browser makes it.
      await seenAt(warning(page));
      const height = await page.getByRole("button", { name: "Stay signed in" }).evaluate((button) => button.getBoundingClientRect().height);
      assert.ok(height >= 44, `${height}`);
    },
  ],

  "b8 a policy that lets nothing run leaves the page as it was": [
    { legacy: { csp: () => "default-src 'none'; form-action 'self'" }, errors: [/CSP: script-src-elem inline/, /Content Security Policy directive/] },
    async ({ visitor }) => {
      const page = await visitor.logIn({ client: false });
      assert.equal(await page.locator("script[src]").count(), 0);
      assert.equal(visitor.calls.length, 0);
      // The page's own script is refused as ever, once on each of two pages, and nothing else was tried.
      const refused = () => visitor.errors.filter((error) => error.startsWith("error: CSP: "));
      await until("the refused scripts", () => refused().length === 2);
    },
  ],

  "h1 a __Host- cookie over TLS": [
    {
      legacy: { cookieName: "__Host-session", cookieAttributes: "Path=/; Secure; HttpOnly; SameSite=Strict" },
      settings: { SESSION_COOKIE_NAME: "__Host-session", SLIDECAR_TLS_CERT_FILE: certificate, SLIDECAR_TLS_KEY_FILE: key },
      context: { ignoreHTTPSErrors: true },
      // The press on "Log out" may be reported to a session that is over.
      errors: [/status of 401/],
    },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await lives(visitor, page, "__Host-session");
      const cookie = await visitor.cookie("__Host-session");
      assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.sameSite, cookie.path], [true, true, "Strict", "/"]);
      await page.getByRole("button", { name: "Log out" }).click();
      await goodbye(page).waitFor();
      assert.equal(await visitor.cookie("__Host-session"), undefined);
    },
  ],

  "h1 a cookie with Path=/app and SameSite=Strict": [
    {
      legacy: { path: "/app/", cookieAttributes: "Path=/app; HttpOnly; SameSite=Strict" },
      settings: { SESSION_ENDPOINTS: "/app/auth" },
    },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await lives(visitor, page);
      const session = (await visitor.context.cookies(`${visitor.origin}/app/`)).filter((cookie) => cookie.name === "session");
      assert.equal(session.length, 1);
      assert.deepEqual([session[0].path, session[0].sameSite], ["/app", "Strict"]);
      assert.equal((await visitor.context.cookies(visitor.origin)).filter((cookie) => cookie.name === "session").length, 0);
    },
  ],

  "b5 back to a page that the browser kept: it asks the server, and goes on": [
    {},
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.evaluate(() => addEventListener("pageshow", (event) => (window.kept = event.persisted)));
      await page.getByRole("link", { name: "Other page" }).click();
      await page.getByText("Back").waitFor();
      const since = Date.now();
      await page.evaluate(() => history.back());
      await until("the kept page", () => page.evaluate(() => window.kept).catch(() => undefined));
      await until("a question to the server", () => visitor.count("status", since) > 0);
      await quiet(page);
      const end = await visitor.tokenEnd();
      near(await seenAt(warning(page)), end - WARNING * 1000, "the warning");
    },
  ],

  "b5 back to a page that the browser kept, after a logout: it says that it is over": [
    // The press on "Log out" was input, and is reported to a session that is over.
    { settings: LONG, errors: [/status of 401/] },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.evaluate(() => addEventListener("pageshow", (event) => (window.kept = event.persisted)));
      await page.getByRole("link", { name: "Other page" }).click();
      await page.getByText("Back").waitFor();
      await page.getByRole("button", { name: "Log out" }).click();
      await until("logged out", async () => !(await visitor.cookie()));
      await page.evaluate(() => history.back());
      await until("the kept page", () => page.evaluate(() => window.kept).catch(() => undefined));
      await goodbye(page).waitFor({ timeout: 3000 });
    },
  ],
}, { launch: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } });
