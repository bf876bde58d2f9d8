// The page for people on the admin port: it shows what runs, and whatever clients asked for stays text.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { inBrowser, until } from "./harness.mjs";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

inBrowser("status", {
  "o1 the status page shows clocks, decisions and events, follows them, and takes no markup from anybody": [
    { settings: { SESSION_CLIENT: "off" }, errors: [/CONNECTION_REFUSED/] },
    async ({ visitor, sidecar, arrive }) => {
      const listening = sidecar.lines.map((line) => line.startsWith("{") && JSON.parse(line)).find(({ event }) => event === "listening");
      const operator = await arrive(`http://${listening.admin}`);
      const page = await operator.open("/");
      await page.getByText("ready", { exact: true }).waitFor();
      await page.getByText("exp after 12 s").waitFor();
      await page.getByText("Nothing was renewed yet.", { exact: false }).waitFor();

      await fetch(`${visitor.origin}/%3Cimg%20src=x%20onerror=alert(1)%3E`);
      await fetch(`${visitor.origin}/`, { headers: { Cookie: "session=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjo0MTAyNDQ0ODAwfQ." } });
      await page.getByText("session_token_unverified").waitFor();
      await until("the decision on the page", async () => (await page.locator("#decisions").textContent()).includes("stripped unverified"));
      assert.equal(await page.locator("img").count(), 0);
      await page.getByText("Settings", { exact: true }).click();
      assert.match(await page.locator("#settings").textContent(), /JWT_EXPIRES_IN12senvironment/);

      await page.addScriptTag({ path: axe }).catch(() => {});
      for (const width of [1100, 320]) {
        await page.setViewportSize({ width, height: 900 });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      }
      await sidecar.stop();
      await page.getByText("no answer", { exact: true }).waitFor();
    },
  ],
});
