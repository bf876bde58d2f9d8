// One clock: the server's. What may say how long the session lives, and when it is asked.
import { afterEach, expect, test, vi } from "vitest";
import { createSessionKeepAlive } from "../src/index.js";
import { HOUR, MINUTE, POLICY, SECOND, Tab, World, pass, sleep } from "./world.js";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(left = 2 * HOUR, options = {}): Promise<{ world: World; tab: Tab }> {
  const world = new World();
  world.lives(left);
  return { world, tab: await new Tab(options).start() };
}
const near = (actual: number, expected: number) => expect(Math.abs(actual - expected), `${actual} is not about ${expected}`).toBeLessThan(1001);

test("b3_nothing_is_touched_before_start", () => {
  const { state, remainingMs } = createSessionKeepAlive().getSnapshot();
  expect([state, remainingMs]).toEqual(["stopped", 0]);
});

test("b3_the_first_truth_is_the_status_and_never_the_page", async () => {
  const world = new World();
  world.lives(90 * MINUTE);
  const tab = new Tab();
  void tab.start();
  await world.answers(20 * HOUR, Date.now() + HOUR);
  await pass(500);
  expect(world.calls).toEqual(["GET status", "GET policy"]);
  near(tab.left, 90 * MINUTE);
});

test("b3_the_browsers_clock_may_be_days_off", async () => {
  const { tab } = await open(HOUR);
  near(tab.left, HOUR);
});

test("b3_any_answer_of_the_page_moves_the_end_and_an_older_stamp_does_not", async () => {
  const { world, tab } = await open(HOUR);
  await pass(MINUTE);
  await world.answers(2 * HOUR);
  near(tab.left, 2 * HOUR);
  await world.answers(10 * MINUTE, Date.now() - 30 * SECOND);
  near(tab.left, 2 * HOUR);
  await world.answers(30 * MINUTE);
  near(tab.left, 30 * MINUTE);
});

test("b3_without_server_timing_the_header_tells_and_without_both_the_status", async () => {
  for (const field of ["strips", "stripsAll"] as const) {
    const { world, tab } = await open(30 * MINUTE);
    world[field] = true;
    void tab.keepAlive.extend();
    await pass(SECOND);
    near(tab.left, 2 * HOUR);
    expect(world.count("status")).toBe(field === "strips" ? 1 : 2);
    tab.keepAlive.stop();
  }
});

test("b3_jitter_of_the_network_is_no_news", async () => {
  const { world, tab } = await open(HOUR);
  const first = tab.keepAlive.getSnapshot();
  for (let i = 0; i < 20; i++) {
    await pass(5 * SECOND);
    await world.answers(world.endsAt! - Date.now() + (i % 7) * 50);
  }
  expect(tab.keepAlive.getSnapshot()).toBe(first);
});

test("b3_a_snapshot_is_replaced_only_if_something_changed", async () => {
  const { world, tab } = await open(HOUR);
  const first = tab.keepAlive.getSnapshot();
  await pass(5 * MINUTE);
  tab.fire("focus");
  await pass(SECOND);
  expect(tab.keepAlive.getSnapshot()).toBe(first);
  await pass(2 * SECOND);
  world.lives(2 * HOUR);
  tab.fire("focus");
  await pass(2 * SECOND);
  expect(tab.keepAlive.getSnapshot()).not.toBe(first);
});

test("b4_a_heartbeat_only_after_input_else_a_passive_check", async () => {
  const { world, tab } = await open();
  await pass(31 * MINUTE);
  expect([world.count("heartbeat"), world.count("status")]).toEqual([0, 4]);
  tab.fire("keydown");
  await pass(10 * MINUTE);
  expect(world.count("heartbeat")).toBe(1);
  await pass(30 * MINUTE);
  expect(world.count("heartbeat")).toBe(1);
});

test("b4_an_open_tab_without_a_person_ends", async () => {
  const { tab } = await open();
  await pass(2 * HOUR + SECOND);
  expect(tab.states).toEqual(["active", "warning", "expired"]);
});

test("b4_a_person_at_work_never_sees_a_warning", async () => {
  const { tab } = await open();
  for (let i = 0; i < 6 * 60; i++) {
    tab.fire("wheel");
    await pass(MINUTE);
  }
  expect(tab.states).toEqual(["active"]);
});

test("b4_input_just_before_the_warning_is_reported_instead", async () => {
  const { world, tab } = await open(8 * MINUTE);
  await pass(3 * MINUTE);
  tab.fire("pointerdown");
  await pass(4 * MINUTE);
  expect(tab.states).toEqual(["active"]);
  expect(world.count("heartbeat")).toBe(1);
});

test("b4_a_passive_call_between_does_not_forget_input", async () => {
  const { world, tab } = await open();
  await pass(9 * MINUTE);
  tab.fire("keydown");
  await pass(30 * SECOND);
  tab.fire("focus");
  await pass(MINUTE);
  expect([world.count("status"), world.count("heartbeat")]).toEqual([2, 1]);
});

test("b4_events_of_a_script_are_no_person", async () => {
  const { world, tab } = await open();
  for (let i = 0; i < 20; i++) {
    tab.fire("keydown", { isTrusted: false });
    await pass(MINUTE);
  }
  expect(world.count("heartbeat")).toBe(0);
});

test("b4_a_heartbeat_that_was_lost_is_sent_again", async () => {
  const { world, tab } = await open();
  await pass(9 * MINUTE);
  tab.fire("touchstart");
  world.mode = "503";
  await pass(2 * MINUTE);
  expect(tab.state).toBe("offline");
  world.mode = "up";
  await pass(20 * SECOND);
  expect(tab.state).toBe("active");
  expect(world.endsAt! - Date.now()).toBeGreaterThan(2 * HOUR - 20 * SECOND);
});

test("b4_options_events_and_no_heartbeat", async () => {
  const one = await open(2 * HOUR, { autoHeartbeat: false });
  one.tab.fire("keydown");
  await pass(21 * MINUTE);
  expect([one.world.count("heartbeat"), one.world.count("status")]).toEqual([0, 3]);
  one.tab.keepAlive.stop();
  const two = await open(2 * HOUR, { events: ["play"] });
  two.tab.fire("keydown");
  await pass(11 * MINUTE);
  expect(two.world.count("heartbeat")).toBe(0);
  two.tab.fire("play");
  await pass(11 * MINUTE);
  expect(two.world.count("heartbeat")).toBe(1);
});

test("b5_waking_asks_before_anything_is_shown", async () => {
  for (const [after, expected] of [
    [HOUR, ["active"]],
    [119 * MINUTE, ["active", "warning"]],
    [3 * HOUR, ["active", "expired"]],
    [72 * HOUR, ["active", "expired"]],
  ] as const) {
    const { tab } = await open();
    sleep(after);
    tab.fire("visibilitychange");
    tab.fire("focus");
    await pass(5 * SECOND);
    expect(tab.states, `${after}`).toEqual(expected);
    tab.keepAlive.stop();
  }
});

test("b5_a_sleep_is_noticed_without_any_event", async () => {
  const { world, tab } = await open();
  sleep(119 * MINUTE);
  // Another device has renewed it meanwhile; nothing of the old end is shown.
  world.lives(2 * HOUR);
  await pass(20 * SECOND);
  expect(tab.states).toEqual(["active"]);
  near(tab.left, 2 * HOUR - 20 * SECOND);
});

test("b5_waking_without_a_network_ends_nothing", async () => {
  const { world, tab } = await open();
  sleep(119 * MINUTE);
  world.mode = "down";
  tab.fire("visibilitychange");
  await pass(5 * SECOND);
  expect(tab.states).toEqual(["active", "offline"]);
  world.lives(2 * HOUR);
  tab.fire("online");
  await pass(2 * SECOND);
  expect(tab.states).toEqual(["active", "offline", "active"]);
});

test("b5_events_of_one_waking_are_one_call", async () => {
  const { world, tab } = await open();
  await pass(MINUTE);
  const before = world.count("status");
  for (const type of ["visibilitychange", "pageshow", "focus", "online", "focus"]) tab.fire(type);
  await pass(500);
  tab.fire("focus");
  await pass(SECOND);
  expect(world.count("status")).toBe(before + 1);
});

test("b5_a_clock_that_is_set_back_or_forth_changes_nothing", async () => {
  for (const by of [-5 * HOUR, 5 * HOUR, -3 * 24 * HOUR]) {
    const { world, tab } = await open();
    await pass(10 * SECOND);
    sleep(by);
    world.endsAt! += by;
    await pass(20 * SECOND);
    expect(tab.states).toEqual(["active"]);
    near(tab.left, 2 * HOUR - 30 * SECOND);
    tab.fire("keydown");
    await pass(21 * MINUTE);
    expect(world.count("heartbeat")).toBeGreaterThan(0);
    tab.keepAlive.stop();
  }
});

test("b5_a_short_sleep_while_warning_asks_before_it_counts_on", async () => {
  const { world, tab } = await open(115 * SECOND);
  sleep(100 * SECOND);
  world.lives(2 * HOUR);
  await pass(2 * SECOND);
  expect(tab.states).toEqual(["warning", "active"]);
});

test("b5_a_clock_that_is_set_back_is_no_long_silence", async () => {
  const { world, tab } = await open();
  world.mode = "down";
  await pass(2 * SECOND);
  tab.fire("focus");
  await pass(SECOND);
  sleep(-5 * HOUR);
  await pass(MINUTE);
  expect(tab.states).toEqual(["active", "offline"]);
});

test("b5_a_session_of_90_days_has_no_timer_that_fires_at_once", async () => {
  const { world, tab } = await open(90 * 24 * HOUR);
  await pass(5 * MINUTE);
  expect(tab.state).toBe("active");
  expect(world.calls.length).toBe(2);
});

test("b5_a_late_answer_from_before_a_logout_brings_nothing_back", async () => {
  const { world, tab } = await open();
  world.latency = 300;
  await pass(2 * SECOND);
  tab.fire("focus");
  await pass(350);
  // The status has passed the server and is on its way; the other tab's logout is faster.
  for (const channel of world.channels) channel.onmessage?.({ data: { d: 0, s: 0, i: 0, c: 0, o: "logout" } });
  world.endsAt = undefined;
  await pass(5 * SECOND);
  expect(tab.states).toEqual(["active", "expired"]);
});

test("b6_when_the_warning_comes", async () => {
  for (const [policy, options, expected] of [
    [{}, {}, 2 * MINUTE],
    [{ accessTokenTtlMs: 4 * MINUTE, refreshThresholdMs: 2 * MINUTE, heartbeatIntervalMs: MINUTE }, {}, MINUTE],
    [{ accessTokenTtlMs: MINUTE, refreshThresholdMs: 30 * SECOND, heartbeatIntervalMs: 15 * SECOND }, {}, 20 * SECOND],
    [{ accessTokenTtlMs: 20 * SECOND, refreshThresholdMs: 10 * SECOND, heartbeatIntervalMs: 5 * SECOND }, {}, 10 * SECOND],
    [{ refreshThresholdMs: MINUTE, heartbeatIntervalMs: 30 * SECOND }, {}, MINUTE],
    [{}, { warnBeforeMs: 5 * MINUTE }, 5 * MINUTE],
    [{}, { warnBeforeMs: SECOND }, 20 * SECOND],
  ] as const) {
    const world = new World();
    world.policy = { ...POLICY, ...policy };
    world.lives(world.policy ? (world.policy as typeof POLICY).accessTokenTtlMs : 0);
    const tab = await new Tab(options).start();
    const end = world.endsAt!;
    while (tab.state === "active") await pass(100);
    expect(tab.state).toBe("warning");
    near(end - Date.now(), expected);
    tab.keepAlive.stop();
  }
});

test("b6_the_countdown_is_in_step_with_the_end", async () => {
  // Whatever part of a second is left when it begins, and however the end is moved by less than what is news.
  for (const left of [MINUTE, MINUTE + 1, MINUTE + 300, MINUTE + 999]) {
    const { world, tab } = await open(left);
    for (let second = 58; second >= 0; second--) {
      const moment = world.endsAt! - second * SECOND;
      await pass(moment - Date.now() - 60);
      expect(Math.ceil(tab.keepAlive.getSnapshot().remainingMs / SECOND)).toBe(second + 1);
      await pass(120);
      expect(Math.ceil(tab.keepAlive.getSnapshot().remainingMs / SECOND)).toBe(second);
      if (second % 7 === 3) await world.answers((world.endsAt! += 400) - Date.now());
    }
    expect(tab.states).toEqual(["warning", "expired"]);
    tab.keepAlive.stop();
  }
});

test("b6_an_end_that_is_known_too_early_by_the_network_is_asked_for_once_more", async () => {
  const world = new World();
  world.latency = 450;
  world.lives(30 * SECOND);
  const tab = await new Tab().start();
  await pass(2 * SECOND);
  world.latency = 1;
  const end = world.endsAt!;
  await pass(end - Date.now() - 50);
  expect(tab.state).toBe("warning");
  await pass(100);
  expect(tab.state).toBe("expired");
  expect(world.count("status")).toBe(3);
});

test("b6_a_server_that_does_not_end_what_has_ended_is_asked_once_a_second", async () => {
  for (const said of [0, 0.4]) {
    const { world, tab } = await open(5 * SECOND);
    world.lives(HOUR);
    world.says = said;
    const before = world.calls.length;
    await pass(65 * SECOND);
    expect(tab.state).toBe("warning");
    expect(world.calls.length - before).toBeLessThanOrEqual(61);
    tab.keepAlive.stop();
  }
});

test("b6_the_countdown_is_fresh_every_second", async () => {
  const { tab } = await open(MINUTE);
  for (let second = 59; second > 40; second--) {
    await pass(SECOND);
    near(tab.keepAlive.getSnapshot().remainingMs, second * SECOND);
  }
});

test("b6_the_absolute_end_is_final", async () => {
  const { world, tab } = await open(MINUTE);
  expect(tab.keepAlive.getSnapshot().final).toBe(false);
  world.absolute = world.endsAt;
  world.renews = false;
  void tab.keepAlive.extend();
  await pass(SECOND);
  expect(tab.keepAlive.getSnapshot()).toMatchObject({ state: "warning", final: true });
  world.absolute = Date.now() + 10 * HOUR;
  world.lives(HOUR);
  await pass(2 * SECOND);
  tab.fire("focus");
  await pass(2 * SECOND);
  expect(tab.keepAlive.getSnapshot()).toMatchObject({ state: "active", final: false });
});

test("a_page_without_a_session_costs_one_call", async () => {
  const world = new World();
  const tab = await new Tab().start();
  tab.fire("focus");
  await pass(HOUR);
  expect(world.calls).toEqual(["GET status"]);
  expect(tab.keepAlive.getSnapshot()).toMatchObject({ state: "stopped", reason: "no_cookie" });
});

test("a_new_policy_version_is_fetched_before_it_is_believed", async () => {
  const { world, tab } = await open(3 * MINUTE);
  expect([world.count("policy"), tab.state]).toEqual([1, "active"]);
  world.version = "v2";
  world.policy = { ...POLICY, accessTokenTtlMs: 20 * MINUTE, refreshThresholdMs: 30 * SECOND };
  await pass(2 * SECOND);
  tab.fire("focus");
  await pass(70 * SECOND);
  // Of the old policy, two minutes would be warned.
  expect([world.count("policy"), tab.state]).toEqual([2, "active"]);
});

test("a_policy_that_failed_is_asked_for_again", async () => {
  const world = new World();
  world.lives(HOUR);
  world.policy = "busy";
  const tab = await new Tab().start();
  expect(tab.keepAlive.getSnapshot().policySource).toBe("fallback");
  world.policy = POLICY;
  await pass(2 * SECOND);
  tab.fire("focus");
  await pass(SECOND);
  expect(tab.keepAlive.getSnapshot().policySource).toBe("server");
});

test("stop_and_start_again_as_react_does_in_strict_mode", async () => {
  const { world, tab } = await open();
  tab.keepAlive.stop();
  tab.keepAlive.stop();
  const again = tab.start();
  tab.keepAlive.stop();
  await again;
  await tab.start();
  expect([tab.state, world.channels.size, world.observers.length]).toEqual(["active", 1, 1]);
  const answer = tab.keepAlive.extend();
  await pass(SECOND);
  expect(await answer).toBe(true);
});
