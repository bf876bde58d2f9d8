// Who stays in and who is out, and when, by the clock of a real browser's cookies.
import assert from "node:assert/strict";
import { LONG, TTL, WARNING, goodbye, inBrowser, near, pause, quiet, seenAt, until, warning } from "./harness.mjs";

const HOUR = 8; // of the sick application's cookie, scaled
/** So long before the warning that a slow click is in time. */
const PROMISED = 11;

async function works(page) {
  const before = await page.locator("#answer").textContent();
  await page.getByRole("button", { name: "Save" }).click();
  const answer = await until("an answer", async () => {
    const text = await page.locator("#answer").textContent();
    return (text !== before || text === "please log in") && text;
  });
  return answer.startsWith("saved");
}

inBrowser("clocks", {
  "b3 the sick application logs out a person at work; behind slidecar the same clicks keep her in, and idle she is warned and out on time": [
    // The sick application says 401 to who works on.
    { legacy: { cookieSeconds: HOUR }, settings: { SESSION_REFRESH_THRESHOLD: `${PROMISED}s` }, errors: [/status of 401/] },
    async ({ legacy, visitor, arrive }) => {
      const sick = await arrive(legacy.origin);
      const [sickPage, page] = await Promise.all([sick.logIn({ client: false }), visitor.logIn()]);
      const second = await visitor.open();
      const began = Date.now();
      const sickEnd = await sick.end();
      let lastClick;
      while (Date.now() - began < (TTL + 2) * 1000) {
        const clicked = Date.now();
        const [sickWorks, isIn] = await Promise.all([works(sickPage), works(page)]);
        lastClick = Date.now();
        assert.ok(isIn, `logged out at work after ${lastClick - began} ms`);
        if (sickWorks) assert.ok(clicked <= sickEnd, "the sick application is not sick");
        else assert.ok(lastClick >= sickEnd, "out before its cookie");
        await pause(1000);
      }
      assert.ok(sickEnd < lastClick - 2000, "the story is over too soon");

      // Nobody touches anything from here on. The last click may still be reported by a heartbeat.
      await until("the last heartbeat", () => Date.now() - lastClick > 2000);
      const end = await visitor.tokenEnd();
      const tabs = [page, second];
      const warned = await Promise.all(tabs.map((tab) => seenAt(warning(tab))));
      for (const moment of warned) near(moment, end - WARNING * 1000, "the warning");
      const gone = await Promise.all(tabs.map((tab) => seenAt(goodbye(tab))));
      for (const moment of gone) near(moment, end, "the end");
      assert.ok(end - lastClick >= PROMISED * 1000 - 1000, "out before what is promised");
      assert.ok(end - lastClick <= (TTL + 2) * 1000, "in for longer than the TTL");
      assert.equal(await visitor.cookie(), undefined);
    },
  ],

  "b3 what the untouched page asks for moves the cookie's end, and the countdown follows without a call of its own": [
    // Its own calls are rare, so that none is in the way.
    { settings: { SESSION_HEARTBEAT_INTERVAL: "7s" } },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await seenAt(warning(page));
      const before = await visitor.end();
      const since = Date.now();
      await page.evaluate(() => window.reload());
      await page.getByText("reloaded 200").waitFor();
      await warning(page).waitFor({ state: "hidden" });
      assert.equal(visitor.calls.filter((call) => call.at >= since).length, 0);
      const after = await visitor.end();
      const end = await visitor.tokenEnd();
      assert.ok(after - before >= 4000, `moved by ${after - before} ms`);
      near(await seenAt(warning(page)), end - WARNING * 1000, "the next warning");
    },
  ],

  "b3 a login page is not told that a session has ended": [
    {},
    async ({ visitor }) => {
      const page = await visitor.open();
      await visitor.asked(page);
      // The client's own ticks would show it by then.
      await pause(1500);
      assert.equal(await page.locator("session-keepalive").count(), 0);
    },
  ],

  "b5 offline is no logout: the page waits, and goes on when the network is back": [
    { settings: LONG, errors: [/ERR_INTERNET_DISCONNECTED/] },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await visitor.context.setOffline(true);
      await visitor.asked(page, "failed");
      await quiet(page);
      assert.ok(await visitor.cookie());
      const since = Date.now();
      await visitor.context.setOffline(false);
      // It does not wait for its next turn.
      await visitor.asked(page, "finished", since);
      assert.ok(await works(page));
      await quiet(page);
    },
  ],

  "b5 offline during the warning says so, and the button works once the network is back": [
    { errors: [/ERR_INTERNET_DISCONNECTED/] },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await seenAt(warning(page));
      const before = await visitor.end();
      await visitor.context.setOffline(true);
      await page.getByRole("dialog", { name: "No connection" }).waitFor();
      await visitor.context.setOffline(false);
      await page.getByRole("button", { name: "Stay signed in" }).click();
      await warning(page).waitFor({ state: "hidden" });
      assert.ok((await visitor.end()) > before);
    },
  ],

  "b5 waking from sleep asks the server before anything is shown": [
    { settings: LONG },
    async ({ visitor }) => {
      // A machine asleep: its monotonic clock and its timers stand still, the time of day goes on.
      await visitor.context.addInitScript(() => {
        const real = Date.now;
        let slept = 0;
        Date.now = () => real() + slept;
        window.sleep = (ms) => (slept += ms);
      });
      const page = await visitor.logIn();
      let release;
      const held = new Promise((resolve) => (release = resolve));
      await page.route("**/session-status", async (route) => {
        await held;
        await route.continue();
      });
      const asked = page.waitForRequest("**/session-status");
      await page.evaluate(() => window.sleep(3_600_000));
      await asked;
      // Three ticks of the client, in which a guess would show.
      await page.waitForTimeout(3000);
      assert.equal(await page.getByRole("dialog").count(), 0, "shown before the server was asked");
      const since = Date.now();
      release();
      await visitor.asked(page, "finished", since - 4000);
      await page.unroute("**/session-status");
      assert.ok(await works(page));
      await quiet(page);

      // And if it has ended meanwhile, that is said, without a warning first.
      await visitor.context.clearCookies();
      await page.evaluate(() => {
        window.titles = new Set();
        const look = () => {
          const root = document.querySelector("session-keepalive")?.shadowRoot;
          if (root?.querySelector("dialog[open]")) window.titles.add(root.querySelector("h2").textContent);
          requestAnimationFrame(look);
        };
        look();
        window.sleep(3_600_000);
        dispatchEvent(new Event("focus"));
      });
      await goodbye(page).waitFor();
      assert.deepEqual(await page.evaluate(() => [...window.titles]), ["You are signed out"]);
    },
  ],
});
