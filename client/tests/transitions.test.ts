// Every state with everything that can happen to it.
import { afterEach, expect, test, vi } from "vitest";
import { HOUR, MINUTE, SECOND, Tab, World, pass } from "./world.js";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** `anonymous`: this page never had a session. `stopped`: stop() was called. */
const STATES = ["active", "warning", "offline", "expired", "anonymous", "stopped"] as const;

async function reach(state: (typeof STATES)[number]): Promise<{ world: World; tab: Tab }> {
  const world = new World();
  if (state !== "anonymous") world.lives(state === "warning" ? MINUTE : 2 * HOUR);
  const tab = await new Tab().start();
  await pass(2 * SECOND);
  if (state === "offline") world.mode = "down";
  if (state === "expired") world.endsAt = undefined;
  if (state === "offline" || state === "expired") tab.fire("focus");
  if (state === "stopped") tab.keepAlive.stop();
  await pass(2 * SECOND);
  expect(tab.state).toBe(state === "anonymous" ? "stopped" : state);
  return { world, tab };
}

/** What takes time says how long. */
type Event = (world: World, tab: Tab) => unknown;

/** Until so long before the end, the server being there. */
const until =
  (before: number): Event =>
  (world) => {
    world.mode = "up";
    return Math.max(0, (world.endsAt ?? 0) - Date.now() - before);
  };
const wake = (mode: World["mode"]): Event => (world, tab) => {
  world.mode = mode;
  tab.fire("focus");
};
const message = (data: object): Event => (world) => {
  const all = { d: 0, s: 0, i: 0, c: 0, ...data };
  for (const channel of world.channels) channel.onmessage?.({ data: all });
};

const active = "active";
const warning = "warning";
const offline = "offline";
const expired = "expired";
const stopped = "stopped";
const TABLE: [name: string, event: Event, expected: string[]][] = [
  ["an answer to the page says long", (w) => (w.lives(HOUR), w.answers(HOUR)), [active, active, active, active, active, stopped]],
  ["an answer to the page says short", (w) => (w.lives(MINUTE), w.answers(MINUTE)), [warning, warning, warning, warning, warning, stopped]],
  ["an answer to the page is a replay", (w) => w.answers(30 * MINUTE, Date.now() - MINUTE), [active, warning, offline, expired, stopped, stopped]],
  ["another tab says long", (w, t) => (w.lives(HOUR), message({ d: Date.now() + HOUR, s: w.stamp() })(w, t)), [active, active, active, active, active, stopped]],
  ["another tab says short", (w, t) => (w.lives(MINUTE), message({ d: Date.now() + MINUTE, s: w.stamp() })(w, t)), [warning, warning, warning, warning, warning, stopped]],
  ["another tab says something old", (w, t) => message({ d: Date.now() + 3 * HOUR, s: w.stamp() - MINUTE })(w, t), [active, warning, offline, expired, stopped, stopped]],
  ["another tab has logged out", (w, t) => ((w.endsAt = undefined), message({ o: "logout" })(w, t)), [expired, expired, expired, expired, stopped, stopped]],
  ["woken, the server says long", (w, t) => (w.lives(HOUR), wake("up")(w, t)), [active, active, active, active, stopped, stopped]],
  ["woken, the server says short", (w, t) => (w.lives(MINUTE), wake("up")(w, t)), [warning, warning, warning, warning, stopped, stopped]],
  ["woken, the server knows no session", (w, t) => ((w.endsAt = undefined), wake("up")(w, t)), [expired, expired, expired, expired, stopped, stopped]],
  ["woken, the answer is 401", wake("401"), [expired, expired, expired, expired, stopped, stopped]],
  ["woken, the store is lost", wake("503"), [offline, offline, offline, expired, stopped, stopped]],
  ["woken, there is no network", wake("down"), [offline, offline, offline, expired, stopped, stopped]],
  ["woken in a hotel", wake("html"), [offline, offline, offline, expired, stopped, stopped]],
  ["woken while hidden", (w, t) => ((w.hidden = true), wake("401")(w, t)), [active, warning, offline, expired, stopped, stopped]],
  ["extend works", (w, t) => (w.lives(MINUTE), t.keepAlive.extend()), [active, active, active, active, active, stopped]],
  ["extend is refused", (w, t) => ((w.endsAt = undefined), (w.mode = "up"), t.keepAlive.extend()), [expired, expired, expired, expired, stopped, stopped]],
  ["extend reaches nobody", (w, t) => ((w.mode = "down"), t.keepAlive.extend()), [offline, offline, offline, expired, stopped, stopped]],
  ["extend meets 503", (w, t) => ((w.mode = "503"), t.keepAlive.extend()), [offline, offline, offline, expired, stopped, stopped]],
  ["extend meets a captive portal", (w, t) => ((w.mode = "html"), t.keepAlive.extend()), [offline, offline, offline, expired, stopped, stopped]],
  ["logout works", (w, t) => ((w.mode = "up"), t.keepAlive.logout()), [expired, expired, expired, expired, stopped, stopped]],
  ["logout reaches nobody", (w, t) => ((w.mode = "down"), t.keepAlive.logout()), [offline, offline, offline, expired, stopped, stopped]],
  ["the server comes back", (w) => ((w.mode = "up"), 20 * SECOND), [active, warning, active, expired, stopped, stopped]],
  ["the session runs out", (w) => ((w.mode = "up"), 2 * HOUR + MINUTE), [expired, expired, expired, expired, stopped, stopped]],
  ["a moment before two minutes are left", until(2 * MINUTE + 50), [active, warning, active, expired, stopped, stopped]],
  ["two minutes are left, to the moment", until(2 * MINUTE - 50), [warning, warning, warning, expired, stopped, stopped]],
  ["a moment before the end", until(50), [warning, warning, warning, expired, stopped, stopped]],
  ["the end, to the moment", until(-50), [expired, expired, expired, expired, stopped, stopped]],
  ["two minutes are left", (w) => ((w.mode = "up"), 2 * HOUR - MINUTE), [warning, expired, warning, expired, stopped, stopped]],
  ["an hour without a server", (w) => ((w.mode = "down"), HOUR), [offline, offline, offline, expired, stopped, stopped]],
  ["a silence longer than any token", (w) => ((w.mode = "down"), 4 * HOUR), [expired, expired, expired, expired, stopped, stopped]],
  ["stop", (_, t) => t.keepAlive.stop(), [stopped, stopped, stopped, stopped, stopped, stopped]],
  ["start again", (w, t) => (w.lives(HOUR), void t.start()), [active, warning, offline, expired, stopped, active]],
];

for (const [name, event, expected] of TABLE)
  for (const [i, state] of STATES.entries())
    test(`${state}: ${name} → ${expected[i]}`, async () => {
      const { world, tab } = await reach(state);
      const before = world.calls.length;
      const result = event(world, tab);
      await pass(typeof result === "number" ? result : SECOND);
      expect(tab.state).toBe(expected[i]);
      if (name.startsWith("extend") || name.startsWith("logout")) {
        const worked = name.startsWith("extend") ? tab.state === active : tab.keepAlive.getSnapshot().reason === "logout";
        expect(await result).toBe(worked || (state === "anonymous" && name === "logout works"));
      }
      if (state === "stopped" && name !== "start again") expect(world.calls.length).toBe(before);
      const { remainingMs, expiresAt } = tab.keepAlive.getSnapshot();
      if (tab.state === expired || tab.state === stopped) expect([remainingMs, expiresAt]).toEqual([0, 0]);
      else expect(expiresAt).toBeGreaterThan(0);
    });
