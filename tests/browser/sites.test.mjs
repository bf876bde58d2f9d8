// Two sites: links and frames of another one, and a front end that lives on another host.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after } from "node:test";
import { LONG, inBrowser, quiet, seenAt, until, warning } from "./harness.mjs";

/** What the other hosts serve, by path; `/dist/` is the client's package. */
const pages = new Map();
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://other");
  const isModule = pathname.startsWith("/dist/");
  const body = isModule ? readFileSync(new URL(`../../client${pathname}`, import.meta.url)) : pages.get(pathname);
  response.writeHead(body ? 200 : 204, { "Content-Type": isModule ? "text/javascript" : "text/html; charset=utf-8" });
  response.end(isModule || !body ? body : `<!doctype html><html lang="en"><head><title>Other</title></head><body>${body}</body></html>`);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => {
  server.closeAllConnections();
  server.close();
});
const { port } = server.address();
const OTHER = `http://other.test:${port}`;
const FRONT = `http://front.company.test:${port}`;

/** The application under a name that its cookie calls secure without TLS, or under one that has a sister. */
const hostOf = ({ origin }, host) => origin.replace("localhost", host);

/** Logged in, and in the renewal window. */
async function inWindow(visitor) {
  const page = await visitor.logIn();
  const first = await visitor.tokenEnd();
  await until("the renewal window", () => first - Date.now() < 58_500);
  return { page, first };
}

/** Follows a link to the application from a page of another site. */
async function comeFrom(page, visitor, name) {
  pages.set(`/${name}`, `<a href="${visitor.origin}/">To the accounts</a>`);
  await page.goto(`${OTHER}/${name}`);
  const since = Date.now();
  await page.getByRole("link", { name: "To the accounts" }).click();
  await page.getByRole("heading", { name: "Accounts" }).waitFor();
  return since;
}

const fromAnotherSite = (attributes, name) => [
  { legacy: { cookieAttributes: `Path=/; HttpOnly; ${attributes}` }, settings: LONG, errors: [/status of 403/] },
  async ({ arrive, sidecar }) => {
    const visitor = await arrive(hostOf(sidecar, "app.localhost"));
    const { page, first } = await inWindow(visitor);
    const since = await comeFrom(page, visitor, name);
    // The cookie came with the link, so the answer renewed it, as it was.
    await page.getByText("Hello ada").waitFor();
    await visitor.asked(page, "finished", since);
    assert.ok((await visitor.tokenEnd()) > first);
    const [{ sameSite, secure }, ...more] = (await visitor.context.cookies(visitor.origin)).filter((cookie) => cookie.name === "session");
    assert.deepEqual([sameSite, secure, more.length], [/SameSite=(\w+)/.exec(attributes)[1], attributes.includes("Secure"), 0]);
    await quiet(page);

    // What pages of other sites may not do, whatever cookie comes with it.
    await page.goto(`${OTHER}/${name}`);
    for (const what of ["heartbeat", "logout"])
      await page.evaluate(
        (url) => fetch(url, { method: "POST", mode: "no-cors", credentials: "include" }),
        `${visitor.origin}/auth/session-${what}`,
      );
    assert.equal(visitor.errors.length, 2);
    assert.ok(await visitor.cookie());
    await page.goto(visitor.origin);
    await page.getByText("Hello ada").waitFor();
  },
];

inBrowser("sites", {
  "k6 a link from another site, SameSite=Lax: it renews, and the client agrees": fromAnotherSite("SameSite=Lax", "lax"),
  "k6 a link from another site, SameSite=None: it renews, and the client agrees": fromAnotherSite("SameSite=None; Secure", "none"),

  "k6 a link from another site, SameSite=Strict: the page is a stranger's, the session is untouched, and the next click is in": [
    // The browser asks for the icon with the cookie, as it does for whatever else the page loads.
    { legacy: { cookieAttributes: "Path=/; HttpOnly; SameSite=Strict" }, settings: { ...LONG, SESSION_PASSIVE_PATHS: "/favicon.ico" } },
    async ({ arrive, sidecar }) => {
      const visitor = await arrive(hostOf(sidecar, "app.localhost"));
      const { page, first } = await inWindow(visitor);
      const since = await comeFrom(page, visitor, "strict");
      await page.getByRole("button", { name: "Log in" }).waitFor();
      // The browser kept the cookie to itself. The page's own questions carry it again, and do not slide.
      await visitor.asked(page, "finished", since);
      assert.equal(await visitor.tokenEnd(), first);
      await quiet(page);
      await page.evaluate(() => fetch("/api/list").then((answer) => answer.text()));
      assert.ok((await visitor.tokenEnd()) > first);
      await page.evaluate(() => location.assign("/"));
      await page.getByText("Hello ada").waitFor();
      await quiet(page);
    },
  ],

  "b6 in a frame of another site, with a partitioned cookie: the dialog is in the frame, and works there": [
    { legacy: { cookieAttributes: "Path=/; HttpOnly; Secure; SameSite=None; Partitioned" } },
    async ({ arrive, sidecar }) => {
      const visitor = await arrive(hostOf(sidecar, "app.localhost"));
      pages.set("/frame", `<iframe src="${visitor.origin}/" title="Accounts" width="600" height="500"></iframe>`);
      const page = await visitor.context.newPage();
      await page.goto(`${OTHER}/frame`);
      const frame = page.frameLocator("iframe");
      await frame.getByRole("button", { name: "Log in" }).click();
      await frame.getByText("Hello ada").waitFor();
      await warning(frame).waitFor();
      const before = await visitor.end();
      await frame.getByRole("button", { name: "Stay signed in" }).click();
      await warning(frame).waitFor({ state: "hidden" });
      assert.ok((await visitor.end()) > before);
      const { partitionKey, secure, sameSite } = await visitor.cookie();
      assert.deepEqual([partitionKey, secure, sameSite], ["http://other.test", true, "None"]);
      assert.equal(await page.locator("session-keepalive").count(), 0);
      await frame.getByLabel("Note").fill("a");
      await frame.getByRole("button", { name: "Save" }).click();
      await frame.getByText("saved 1").waitFor();
    },
  ],

  "b2 a front end on another host, with the package's element: it warns, stays and ends there": [
    { settings: { SESSION_CLIENT_ORIGINS: FRONT } },
    async ({ arrive, sidecar }) => {
      const visitor = await arrive(hostOf(sidecar, "accounts.company.test"));
      const page = await visitor.logIn();
      const element = `<session-keepalive endpoints="${visitor.origin}/auth"></session-keepalive>`;
      pages.set("/front", `<script type="module" src="/dist/dialog.js"></script>${element}`);
      await page.goto(`${FRONT}/front`);
      await seenAt(warning(page));
      const before = await visitor.end();
      await page.getByRole("button", { name: "Stay signed in" }).click();
      await warning(page).waitFor({ state: "hidden" });
      assert.ok((await visitor.end()) > before);
      await seenAt(warning(page));
      await page.getByRole("button", { name: "Sign out" }).click();
      await until("logged out", async () => !(await visitor.cookie()));
    },
  ],
}, { launch: { args: ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"] } });
