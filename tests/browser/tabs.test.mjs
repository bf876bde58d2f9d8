// Several tabs and pages of one browser.
import assert from "node:assert/strict";
import { LONG, goodbye, inBrowser, pause, quiet, seenAt, until, warning } from "./harness.mjs";

inBrowser("tabs", {
  "b4 two tabs send one heartbeat": [
    { settings: { ...LONG, SESSION_HEARTBEAT_INTERVAL: "2s" } },
    async ({ visitor }) => {
      const pages = [await visitor.logIn(), await visitor.open()];
      await visitor.asked(pages[1]);
      const since = Date.now();
      // A person at work in both, for six intervals.
      while (Date.now() - since < 12_000) {
        await Promise.all(pages.map((page) => page.getByLabel("Note").press("a")));
        await pause(400);
      }
      const beats = visitor.count("heartbeat", since);
      assert.ok(beats >= 4 && beats <= 7, `${beats} heartbeats`);
      assert.ok(visitor.count("status", since) <= 4, `${visitor.count("status", since)} statuses`);
    },
  ],

  "b4 a page and its frame are two clients with one heartbeat, and one dialog, in the page": [
    { settings: { SESSION_HEARTBEAT_INTERVAL: "2s" } },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.goto(`${visitor.origin}/frame`);
      const frame = page.frameLocator("iframe");
      const asked = visitor.calls.length;
      await until("the clients of both", () => visitor.calls.slice(asked).filter(({ what }) => what === "status").length >= 2);
      const since = Date.now();
      while (Date.now() - since < 6000) {
        await page.getByLabel("Remark").press("a");
        await frame.getByLabel("Note").press("a");
        await pause(400);
      }
      const beats = visitor.count("heartbeat", since);
      assert.ok(beats >= 1 && beats <= (Date.now() - since) / 2000 + 1, `${beats} heartbeats`);
      await seenAt(warning(page));
      assert.equal(await frame.locator("session-keepalive").count(), 0);
      await page.getByRole("button", { name: "Stay signed in" }).click();
      await warning(page).waitFor({ state: "hidden" });
    },
  ],

  "b4 without input nothing is reported, and the session ends": [
    {},
    async ({ visitor }) => {
      const page = await visitor.logIn();
      const end = await visitor.end();
      const since = Date.now() + 1500;
      await seenAt(warning(page));
      await seenAt(goodbye(page));
      assert.equal(visitor.count("heartbeat", since), 0);
      assert.ok(visitor.count("status", since) > 0);
      assert.ok(Date.now() >= end - 1000);
    },
  ],

  "b2 a logout by the dialog of one tab is shown in the other at once": [
    // By the channel: no tab asks in time.
    { settings: { SESSION_HEARTBEAT_INTERVAL: "7s" } },
    async ({ visitor, legacy }) => {
      const pages = [await visitor.logIn(), await visitor.open()];
      await Promise.all(pages.map((page) => seenAt(warning(page))));
      await pages[0].getByRole("button", { name: "Sign out" }).click();
      await goodbye(pages[1]).waitFor({ timeout: 2000 });
      await pages[0].getByRole("button", { name: "Log in" }).waitFor();
      assert.equal(await visitor.cookie(), undefined);
      assert.equal(legacy.seen.includes("POST /logout"), false);
    },
  ],

  "b4 a logout by the application in one tab reaches the other": [
    // The press on "Log out" is a person's too, and reported after it.
    { settings: LONG, errors: [/status of 401/] },
    async ({ visitor }) => {
      const pages = [await visitor.logIn(), await visitor.open()];
      await visitor.asked(pages[1]);
      await pages[0].getByRole("button", { name: "Log out" }).click();
      await Promise.all(pages.map((page) => goodbye(page).waitFor({ timeout: 4000 })));
      // A login in one of them brings the other back.
      await pages[0].getByRole("button", { name: "Close" }).click();
      await pages[0].goto(visitor.origin);
      await pages[0].getByRole("button", { name: "Log in" }).click();
      await goodbye(pages[1]).waitFor({ state: "hidden" });
      await quiet(pages[0]);
    },
  ],

  "l1 an answer that comes after the logout does not bring the session back": [
    // Whatever comes is due for renewal, but for the first second.
    { settings: LONG, errors: [/status of 401/] },
    async ({ visitor, legacy }) => {
      const page = await visitor.logIn();
      const open = legacy.hold("api/late");
      const first = await visitor.tokenEnd();
      await until("the renewal window", () => first - Date.now() < 58_500);
      const late = page.evaluate(() => fetch("/api/late").then((answer) => answer.status));
      await until("it is under way", () => legacy.seen.includes("GET /api/late"));
      await page.getByRole("button", { name: "Log out" }).click();
      await until("logged out", async () => !(await visitor.cookie()));
      open();
      assert.equal(await late, 200);
      assert.equal(await visitor.cookie(), undefined);
      await page.goto(visitor.origin);
      await page.getByRole("button", { name: "Log in" }).waitFor();
      assert.equal(await visitor.cookie(), undefined);
    },
  ],

  "l1 an application that slides by itself, late: its cookie comes, but it is no session": [
    { settings: LONG, errors: [/status of 401/] },
    async ({ visitor, legacy }) => {
      const page = await visitor.logIn();
      const open = legacy.hold("api/slide");
      const late = page.evaluate(() => fetch("/api/slide").then((answer) => answer.status));
      await until("it is under way", () => legacy.seen.includes("GET /api/slide"));
      await page.getByRole("button", { name: "Log out" }).click();
      await until("logged out", async () => !(await visitor.cookie()));
      open();
      assert.equal(await late, 200);
      await page.goto(visitor.origin);
      await page.getByRole("button", { name: "Log in" }).waitFor();
      assert.equal(await page.evaluate(() => fetch("/api/list").then((answer) => answer.status)), 401);
      // And who logs in again is in.
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByText("Hello ada").waitFor();
    },
  ],

  "b3 an application with a service worker of its own: clicks keep the session, and a page from its cache moves nothing": [
    {
      legacy: {
        worker: `
          self.addEventListener("install", () => self.skipWaiting());
          self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
          self.addEventListener("fetch", (event) => {
            if (event.request.url.includes("/api/list")) {
              event.respondWith(caches.open("old").then(async (cache) => {
                const old = await cache.match(event.request);
                if (old) return old;
                const answer = await fetch(event.request);
                await cache.put(event.request, answer.clone());
                return answer;
              }));
            } else event.respondWith(fetch(event.request));
          });`,
      },
    },
    async ({ visitor, legacy }) => {
      const page = await visitor.logIn();
      await until("the worker", () => page.evaluate(() => Boolean(navigator.serviceWorker.controller)));
      await page.evaluate(() => window.reload());
      await page.getByText("reloaded 200").waitFor();
      await page.reload();
      await seenAt(warning(page));
      const before = await visitor.end();
      // From the worker's cache: nobody has heard of it.
      const asked = legacy.seen.length;
      await page.evaluate(() => window.reload());
      await page.getByText("reloaded 200").waitFor();
      assert.equal(legacy.seen.length, asked);
      assert.equal(await visitor.end(), before);
      assert.ok(await warning(page).isVisible());
      // By the worker, to the server.
      await page.evaluate(() => fetch("/api/fresh"));
      await warning(page).waitFor({ state: "hidden" });
      assert.ok((await visitor.end()) > before);
    },
  ],
});
