import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const server = await serve();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const [look, options] of Object.entries({
  light: { colorScheme: "light", viewport: { width: 960, height: 640 } },
  dark: { colorScheme: "dark", viewport: { width: 960, height: 640 } },
  narrow: { colorScheme: "light", viewport: { width: 320, height: 568 }, deviceScaleFactor: 2 },
})) {
  server.endsAt = Date.now() + 107_000;
  const page = await browser.newPage(options);
  await page.goto(server.url);
  await page.locator("session-keepalive dialog[open]").waitFor();
  await page.screenshot({ path: `${folder}/warning-${look}.png` });
  server.endsAt = undefined;
  // What another tab would say.
  await page.evaluate((name) => new BroadcastChannel(name).postMessage({ o: "expired" }), `${server.url}/auth/session-`);
  await page.locator("session-keepalive h2", { hasText: "signed out" }).waitFor();
  await page.screenshot({ path: `${folder}/expired-${look}.png` });
  await page.close();
}
await browser.close();
server.close();
console.log(`client/shots: 6 pictures in ${folder}`);
