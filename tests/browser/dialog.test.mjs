// The dialog: what it does, by keyboard too, and whether everybody can use it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { LONG, TTL, goodbye, inBrowser, near, seenAt, until, warning } from "./harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds in the whole page, the dialog being open. The page's own colours are not ours. */
async function violations(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(async () => {
    const dialog = await axe.run("session-keepalive");
    const whole = await axe.run({ rules: { "color-contrast": { enabled: false } } });
    return { violations: [...dialog.violations, ...whole.violations], passes: whole.passes };
  });
  const looked = passes.flatMap(({ nodes }) => nodes.map(({ target }) => target.flat().join(" ")));
  assert.ok(looked.includes("session-keepalive #dialog"), `axe has not seen the dialog, but ${[...new Set(looked)].join(", ")}`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
}

async function picture(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
}

/** The element that has the focus, in shadow roots too. */
const focused = (page) =>
  page.evaluate(() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element?.textContent || element?.id || element?.tagName;
  });

const axe = (name, context) => [
  { context },
  async ({ visitor }) => {
    const page = await visitor.logIn();
    await seenAt(warning(page));
    await picture(page, `warning-${name}`);
    assert.deepEqual(await violations(page), [], "warning");
    await seenAt(goodbye(page));
    await picture(page, `goodbye-${name}`);
    assert.deepEqual(await violations(page), [], "goodbye");
    // Nothing wider than the screen.
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  },
];

inBrowser("dialog", {
  "b6 stay signed in moves the cookie's end, and the focus returns to where it was": [
    {},
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.getByLabel("Note").focus();
      await seenAt(warning(page));
      assert.equal(await focused(page), "Stay signed in");
      const before = await visitor.end();
      const pressed = Date.now();
      await page.getByRole("button", { name: "Stay signed in" }).click();
      await warning(page).waitFor({ state: "hidden" });
      const after = await visitor.end();
      assert.ok(after > before);
      // Its Max-Age is in whole seconds.
      assert.ok(after > pressed + (TTL - 1) * 1000 && after <= Date.now() + TTL * 1000, `${after - pressed}`);
      assert.equal(visitor.count("heartbeat", pressed), 1);
      assert.equal(await focused(page), "note");
    },
  ],

  "b6 with the keyboard alone: Enter, Tab and Escape": [
    {},
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.getByLabel("Note").focus();
      for (const key of ["Enter", "Escape", "Escape"]) {
        await seenAt(warning(page));
        const before = await visitor.end();
        await page.keyboard.press(key);
        await warning(page).waitFor({ state: "hidden" });
        assert.ok((await visitor.end()) > before, key);
        assert.equal(await focused(page), "note", key);
      }
      await seenAt(warning(page));
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Sign out");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Log in" }).waitFor();
      assert.equal(await visitor.cookie(), undefined);
    },
  ],

  "b6 after the end: a press in the same instant goes nowhere, and Escape leaves what was typed": [
    { settings: LONG },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await page.getByLabel("Note").fill("not saved yet");
      await visitor.context.clearCookies();
      await goodbye(page).waitFor();
      // Meant for "Stay signed in", in the place of which it now is.
      await page.keyboard.press("Enter");
      assert.equal(await page.getByLabel("Note").inputValue(), "not saved yet");
      assert.equal(await goodbye(page).isVisible(), true);
      // Escape leaves what was typed to be copied.
      await page.keyboard.press("Escape");
      await goodbye(page).waitFor({ state: "hidden" });
      assert.equal(await page.getByLabel("Note").inputValue(), "not saved yet");
    },
  ],

  "b6 sign in again leads to the login": [
    { settings: LONG },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await visitor.context.clearCookies();
      const said = await seenAt(goodbye(page));
      await until("the press counts", () => Date.now() - said > 1200);
      await page.getByRole("button", { name: "Sign in again" }).click();
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByText("Hello ada").waitFor();
    },
  ],

  "b6 nothing makes it longer than the absolute end, and the dialog says so": [
    { settings: { SESSION_ABSOLUTE_TIMEOUT: "14s" } },
    async ({ visitor }) => {
      const page = await visitor.logIn();
      await until("work until it is final", async () => {
        await page.getByRole("button", { name: "Save" }).click({ timeout: 1000 }).catch(() => {});
        return page.getByRole("dialog", { name: "You will be signed out soon" }).isVisible();
      }, 14);
      assert.equal(await page.getByRole("button", { name: "Stay signed in" }).count(), 0);
      await page.getByRole("button", { name: "Close", exact: true }).click();
      await page.getByRole("dialog").waitFor({ state: "hidden" });
      const end = await visitor.tokenEnd();
      near(await seenAt(goodbye(page)), end, "the end");
    },
  ],

  "b6 axe finds nothing, light": axe("light", { colorScheme: "light", viewport: { width: 1000, height: 700 } }),
  "b6 axe finds nothing, dark": axe("dark", { colorScheme: "dark", viewport: { width: 1000, height: 700 } }),
  "b6 axe finds nothing, narrow": axe("narrow", { viewport: { width: 320, height: 568 } }),
});
