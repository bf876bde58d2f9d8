// The built files in a real browser, under a strict policy with trusted types.
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { serve } from "./server.mjs";

let browser: Browser;
let context: BrowserContext;
let server: Awaited<ReturnType<typeof serve>>;
let complaints: string[];

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}, 60_000);
afterAll(() => browser.close());
beforeEach(async () => {
  server = await serve();
  context = await browser.newContext();
  complaints = [];
});
afterEach(async () => {
  await context.close();
  server.close();
});

async function open(path = "/"): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => /Content Security|Trusted/.test(message.text()) && complaints.push(message.text()));
  await page.goto(server.url + path);
  await page.waitForTimeout(200);
  return page;
}
const dialog = (page: Page) => page.locator("session-keepalive dialog[open]");
const in90s = () => (server.endsAt = Date.now() + 90_000);

test("nothing is in the page while there is nothing to show", async () => {
  const page = await open();
  expect(await page.locator("session-keepalive").count()).toBe(0);
  expect(await page.evaluate(() => Object.keys(window).filter((name) => /session|slidecar|keep/i.test(name) && name !== "sessionStorage"))).toEqual([]);
  expect(server.count("GET /auth/session-status")).toBe(1);
  expect(complaints).toEqual([]);
});

test("the warning is a named dialog, takes the focus, stays on a button and gives the focus back", async () => {
  in90s();
  const page = await open("/login");
  await dialog(page).waitFor();
  await page.close();

  server.endsAt = Date.now() + 3_600_000;
  const form = await open();
  await form.locator("#to").focus();
  in90s();
  server.renews = false;
  await form.evaluate(() => fetch("/api").then((answer) => answer.text()));
  server.renews = true;
  await dialog(form).waitFor();
  expect(await form.getByRole("dialog", { name: "Are you still there?" }).count()).toBe(1);
  expect(await form.evaluate(() => document.querySelector("session-keepalive")!.shadowRoot!.activeElement!.textContent)).toBe("Stay signed in");
  expect(await form.locator("session-keepalive b").textContent()).toMatch(/^1:(29|30)$/);
  expect(await form.locator("session-keepalive b").getAttribute("aria-hidden")).toBe("true");
  await form.getByRole("button", { name: "Stay signed in" }).click();
  await dialog(form).waitFor({ state: "hidden" });
  expect(server.count("POST /auth/session-heartbeat")).toBe(1);
  expect(await form.evaluate(() => document.activeElement!.id)).toBe("to");
  expect(complaints).toEqual([]);
});

test("escape is stay signed in, twice over and without a network too", async () => {
  in90s();
  const page = await open();
  await dialog(page).waitFor();
  server.down = true;
  await page.keyboard.press("Escape");
  await page.locator("session-keepalive h2", { hasText: "No connection" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForTimeout(300);
  expect(await dialog(page).count()).toBe(1);
  server.down = false;
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "hidden" });
  expect(server.endsAt! - Date.now()).toBeGreaterThan(7_000_000);
});

test("the time is said aloud at once, then every 15 seconds at most", async () => {
  in90s();
  const page = await open();
  await dialog(page).waitFor();
  await page.evaluate(() => {
    const live = document.querySelector("session-keepalive")!.shadowRoot!.querySelector("output")!;
    const said: string[] = live.textContent ? [live.textContent] : [];
    new MutationObserver(() => said.push(live.textContent!)).observe(live, { childList: true, characterData: true, subtree: true });
    (window as unknown as { said: string[] }).said = said;
  });
  await page.waitForTimeout(18_000);
  const said = await page.evaluate(() => (window as unknown as { said: string[] }).said);
  expect(said.length).toBe(2);
  expect(said[0]).toMatch(/^8\d seconds left$/);
});

test("at its end the page says so, a hasty press leaves nothing, sign in again reloads", async () => {
  server.endsAt = Date.now() + 2500;
  const page = await open();
  await dialog(page).waitFor();
  server.renews = false;
  await page.locator("session-keepalive h2", { hasText: "You are signed out" }).waitFor();
  const loads = server.count("GET /");
  await page.getByRole("button", { name: "Sign in again" }).click();
  await page.waitForTimeout(1200);
  expect(server.count("GET /")).toBe(loads);
  await page.getByRole("button", { name: "Sign in again" }).click();
  await page.waitForTimeout(300);
  expect(server.count("GET /")).toBe(loads + 1);
});

test("a dismissed end leaves the page to be copied from", async () => {
  server.endsAt = Date.now() + 1500;
  const page = await open();
  await page.locator("session-keepalive h2", { hasText: "You are signed out" }).waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  await dialog(page).waitFor({ state: "hidden" });
  await page.waitForTimeout(500);
  expect(await dialog(page).count()).toBe(0);
});

test("the absolute end offers no button that does nothing", async () => {
  const end = in90s();
  server.renews = false;
  server.absolute = 90_000;
  const page = await open();
  await page.locator("session-keepalive p", { hasText: "Save your work" }).waitFor();
  expect(end).toBe(server.endsAt);
  await page.getByRole("button", { name: "Close" }).click();
  await dialog(page).waitFor({ state: "hidden" });
  await page.waitForTimeout(1500);
  expect(await dialog(page).count()).toBe(0);
});

test("sign out in one tab reaches the other", async () => {
  const other = await open();
  in90s();
  const page = await open();
  await dialog(page).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await other.locator("session-keepalive h2", { hasText: "You are signed out" }).waitFor();
  expect(server.count("POST /auth/session-logout")).toBe(1);
});

test("stay signed in in one tab closes the dialog of the other", async () => {
  in90s();
  const [one, two] = [await open(), await open()];
  await Promise.all([dialog(one).waitFor(), dialog(two).waitFor()]);
  await one.bringToFront();
  await one.getByRole("button", { name: "Stay signed in" }).click();
  await Promise.all([dialog(one).waitFor({ state: "hidden" }), dialog(two).waitFor({ state: "hidden" })]);
  expect(server.count("POST /auth/session-heartbeat")).toBe(1);
});

test("a login page never says that a session has ended", async () => {
  server.endsAt = undefined;
  const page = await open("/login");
  await page.waitForTimeout(500);
  expect(await page.locator("session-keepalive").count()).toBe(0);
  expect(server.calls.filter((call) => call.includes("/auth/session-") && !call.endsWith(".js"))).toEqual(["GET /auth/session-status"]);
});

test("the package's element follows by itself, in the language of its attributes, and fits 320 pixels", async () => {
  in90s();
  const page = await open("/own");
  await page.setViewportSize({ width: 320, height: 480 });
  await dialog(page).waitFor();
  expect(await page.getByRole("dialog", { name: "Noch da?" }).count()).toBe(1);
  const box = (await dialog(page).boundingBox())!;
  expect(box.x).toBeGreaterThanOrEqual(0);
  expect(box.x + box.width).toBeLessThanOrEqual(320);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320);
  await page.getByRole("button", { name: "Bleiben" }).click();
  await dialog(page).waitFor({ state: "hidden" });
  expect(complaints).toEqual([]);
});

test("what is asked is one line on a narrow screen", async () => {
  server.endsAt = Date.now() + 3000;
  const page = await open("/");
  await page.setViewportSize({ width: 320, height: 480 });
  await dialog(page).waitFor();
  const lines = () =>
    page.evaluate(() => {
      const range = document.createRange();
      range.selectNodeContents(document.querySelector("session-keepalive")!.shadowRoot!.querySelector("h2")!);
      return new Set([...range.getClientRects()].map(({ top }) => top)).size;
    });
  expect(await lines()).toBe(1);
  await page.locator("session-keepalive h2", { hasText: "You are signed out" }).waitFor();
  expect(await lines()).toBe(1);
});

test("the hook follows in strict mode too", async () => {
  in90s();
  const page = await open("/react");
  await page.locator("p", { hasText: "warning" }).waitFor();
  await page.getByRole("button", { name: "extend" }).click();
  await page.locator("p", { hasText: "active true" }).or(page.locator("p", { hasText: "active  true" })).waitFor();
  await page.getByRole("button", { name: "logout" }).click();
  await page.locator("p", { hasText: "expired logout true" }).waitFor();
  expect([server.count("POST /auth/session-heartbeat"), server.count("POST /auth/session-logout")]).toEqual([1, 1]);
  expect(complaints).toEqual([]);
});

test("all modules load on a server, where the hook renders", async () => {
  const load = (name: string): Promise<Record<string, unknown>> => import(new URL(`../dist/${name}.js`, import.meta.url).href);
  expect((await load("dialog"))["SessionKeepAliveElement"]).toBeTypeOf("function");
  const { useSessionKeepAlive } = await load("react");
  expect(renderToString(createElement(() => (useSessionKeepAlive as () => { state: string })().state))).toBe("stopped");
});

test("the colours of both looks have contrast", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    in90s();
    const page = await context.newPage();
    await page.emulateMedia({ colorScheme });
    await page.goto(server.url);
    await dialog(page).waitFor();
    const pairs = await page.evaluate(() => {
      const root = document.querySelector("session-keepalive")!.shadowRoot!;
      const look = (selector: string) => getComputedStyle(root.querySelector(selector)!);
      const texts = [look("dialog"), look("button")].map(({ color, backgroundColor }) => [color, backgroundColor]);
      // Where a press counts is seen by the one's ground and the other's border.
      const edges = [look("button").backgroundColor, look("button:last-child").borderColor].map((edge) => [edge, look("dialog").backgroundColor]);
      return { texts, edges };
    });
    for (const [text, ground] of pairs.texts) expect(contrast(text!, ground!)).toBeGreaterThan(4.5);
    for (const [edge, ground] of pairs.edges) expect(contrast(edge!, ground!)).toBeGreaterThan(3);
    await page.close();
  }
});

function contrast(one: string, two: string): number {
  const [a, b] = [one, two].map((colour) => {
    const [red, green, blue] = colour.match(/\d+/g)!.map((value) => {
      const part = Number(value) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  }) as [number, number];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
