// Several tabs of one browser: one heartbeat, one end, one logout.
import { afterEach, expect, test, vi } from "vitest";
import { HOUR, MINUTE, SECOND, Tab, World, pass } from "./world.js";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(count: number, left = 2 * HOUR, change: (world: World) => void = () => {}): Promise<{ world: World; tabs: Tab[] }> {
  const world = new World();
  change(world);
  world.lives(left);
  const tabs: Tab[] = [];
  for (let i = 0; i < count; i++) tabs.push(await new Tab().start());
  world.calls.length = 0;
  return { world, tabs };
}
const statesOf = (tabs: Tab[]) => tabs.map((tab) => tab.state);

test("b4_one_heartbeat_for_all_tabs", async () => {
  const { world, tabs } = await open(5);
  for (let i = 0; i < 60; i++) {
    tabs[3]!.fire("keydown");
    await pass(MINUTE);
  }
  expect(world.count("heartbeat")).toBeGreaterThanOrEqual(5);
  expect(world.count("heartbeat")).toBeLessThanOrEqual(6);
  expect(world.count("status")).toBe(0);
});

test("b4_one_passive_check_for_all_tabs", async () => {
  const { world } = await open(5);
  await pass(61 * MINUTE);
  expect(world.count("heartbeat")).toBe(0);
  expect(world.count("status")).toBeLessThanOrEqual(6);
});

test("b4_input_in_one_tab_saves_the_others_from_a_warning", async () => {
  const { tabs } = await open(3);
  for (let i = 0; i < 5 * 60; i++) {
    tabs[0]!.fire("wheel");
    await pass(MINUTE);
  }
  expect(tabs.map((tab) => tab.states)).toEqual([["active"], ["active"], ["active"]]);
});

test("b4_extend_in_one_tab_ends_the_warning_in_all", async () => {
  const { tabs } = await open(3, MINUTE);
  expect(statesOf(tabs)).toEqual(["warning", "warning", "warning"]);
  void tabs[1]!.keepAlive.extend();
  await pass(SECOND);
  expect(statesOf(tabs)).toEqual(["active", "active", "active"]);
});

test("b4_a_logout_reaches_all", async () => {
  const { tabs } = await open(3);
  void tabs[2]!.keepAlive.logout();
  await pass(SECOND);
  expect(statesOf(tabs)).toEqual(["expired", "expired", "expired"]);
  expect(tabs.map((tab) => tab.keepAlive.getSnapshot().reason)).toEqual(["logout", "logout", "logout"]);
});

test("b4_what_one_tab_hears_moves_the_end_in_all", async () => {
  const { world, tabs } = await open(2, HOUR);
  await pass(MINUTE);
  world.lives(2 * HOUR);
  // Only the first hears it.
  const all = world.observers.splice(1);
  await world.answers(2 * HOUR);
  world.observers.push(...all);
  expect(Math.abs(tabs[0]!.left - tabs[1]!.left)).toBeLessThan(1001);
  expect(tabs[1]!.left).toBeGreaterThan(2 * HOUR - 2 * SECOND);
});

test("b4_a_login_in_one_tab_wakes_the_expired_ones", async () => {
  const { world, tabs } = await open(2);
  await pass(2 * SECOND);
  world.endsAt = undefined;
  tabs[0]!.fire("focus");
  await pass(3 * SECOND);
  expect(statesOf(tabs)).toEqual(["expired", "expired"]);
  world.lives(2 * HOUR);
  const third = await new Tab().start();
  await pass(3 * SECOND);
  expect(statesOf([...tabs, third])).toEqual(["active", "active", "active"]);
});

test("b4_a_tab_that_is_told_asks_nothing", async () => {
  const { world, tabs } = await open(4, 3 * MINUTE);
  await pass(3 * MINUTE + 2 * SECOND);
  expect(statesOf(tabs)).toEqual(["expired", "expired", "expired", "expired"]);
  // Before the warning and at the end; not four times each.
  expect(world.count("status")).toBeLessThanOrEqual(6);
});

test("b4_without_locks_tabs_still_share", async () => {
  const { world, tabs } = await open(3, 2 * HOUR, (world) => (world.hasLocks = false));
  for (let i = 0; i < 60; i++) {
    tabs[0]!.fire("keydown");
    await pass(MINUTE);
  }
  expect(world.count("heartbeat")).toBeGreaterThanOrEqual(5);
  // At worst one each, never more often than the policy says.
  expect(world.count("heartbeat")).toBeLessThanOrEqual(18);
  expect(statesOf(tabs)).toEqual(["active", "active", "active"]);
});

test("b4_without_locks_and_channel_each_tab_is_on_its_own_and_right", async () => {
  const { world, tabs } = await open(2, 2 * HOUR, (world) => (world.hasLocks = world.hasChannel = false));
  expect(world.channels.size).toBe(0);
  for (let i = 0; i < 3 * 60; i++) {
    tabs[0]!.fire("keydown");
    await pass(61 * SECOND);
  }
  expect(tabs[1]!.states).toEqual(["active"]);
  void tabs[0]!.keepAlive.logout();
  await pass(SECOND);
  tabs[1]!.fire("focus");
  await pass(2 * SECOND);
  expect(statesOf(tabs)).toEqual(["expired", "expired"]);
});
