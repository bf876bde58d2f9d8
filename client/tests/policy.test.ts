import { afterEach, expect, test, vi } from "vitest";
import { DEFAULT_SESSION_POLICY, fetchSessionPolicy } from "../src/index.js";
import { HOUR, MINUTE, POLICY } from "./world.js";

afterEach(() => vi.unstubAllGlobals());

function serve(answer: () => Promise<Response>, storage: object | undefined = {}): void {
  vi.stubGlobal("fetch", answer);
  vi.stubGlobal("localStorage", storage);
}
const json = (body: unknown, status = 200) => async () => Response.json(body, { status });
const down = async () => Promise.reject(new TypeError("Failed to fetch"));

test("b1_the_default_is_the_documented_one", () => {
  expect(DEFAULT_SESSION_POLICY).toEqual({ accessTokenTtlMs: HOUR, heartbeatIntervalMs: 10 * MINUTE, sessionTimeoutMs: 65 * MINUTE, refreshThresholdMs: 30 * MINUTE });
});

test("b1_the_server_is_believed_and_further_fields_do_no_harm", async () => {
  serve(json({ ...POLICY, novelty: 1 }));
  expect(await fetchSessionPolicy()).toMatchObject({ ...POLICY, source: "server" });
});

test.each([
  ["no network", down],
  ["404", json(POLICY, 404)],
  ["503", json({ reason: "store_lost" }, 503)],
  ["null", json(null)],
  ["text", json("7200000")],
  ["a list", json([1, 2, 3, 4])],
  ["no JSON", async () => new Response("<html>")],
  ["a field that is missing", json({ ...POLICY, sessionTimeoutMs: undefined })],
  ["zero", json({ ...POLICY, accessTokenTtlMs: 0 })],
  ["negative", json({ ...POLICY, heartbeatIntervalMs: -1 })],
  ["a string", json({ ...POLICY, refreshThresholdMs: "3600000" })],
  ["infinite", async () => new Response(JSON.stringify(POLICY).replace("7200000", "1e999"))],
] as const)("b1_never_rejects: %s", async (_, answer) => {
  serve(answer);
  expect(await fetchSessionPolicy()).toEqual({ ...DEFAULT_SESSION_POLICY, source: "fallback" });
});

test("b1_a_server_that_says_nothing_is_given_up", async () => {
  vi.stubGlobal("localStorage", {});
  vi.stubGlobal("fetch", (_: string, { signal }: { signal: AbortSignal }) => {
    return new Promise((_, reject) => (signal.aborted ? reject(signal.reason) : signal.addEventListener("abort", () => reject(signal.reason))));
  });
  expect((await fetchSessionPolicy({ timeoutMs: 5 })).source).toBe("fallback");
  expect((await fetchSessionPolicy({ signal: AbortSignal.abort() })).source).toBe("fallback");
  const late = new AbortController();
  setTimeout(() => late.abort(), 5);
  expect((await fetchSessionPolicy({ timeoutMs: 2 ** 40, signal: late.signal })).source).toBe("fallback");
});

test("b1_a_fallback_is_field_by_field_no_longer_than_the_last_good_policy", async () => {
  const storage = {};
  serve(json({ accessTokenTtlMs: 20 * MINUTE, heartbeatIntervalMs: 2 * HOUR, sessionTimeoutMs: 25 * MINUTE, refreshThresholdMs: 5 * HOUR }), storage);
  await fetchSessionPolicy();
  serve(down, storage);
  expect(await fetchSessionPolicy()).toEqual({
    accessTokenTtlMs: 20 * MINUTE,
    heartbeatIntervalMs: 10 * MINUTE,
    sessionTimeoutMs: 25 * MINUTE,
    refreshThresholdMs: 30 * MINUTE,
    source: "cache",
  });
  expect((await fetchSessionPolicy({ url: "/other/session-policy" })).source).toBe("fallback");
});

test("b1_a_given_fallback_is_used_if_it_is_one", async () => {
  serve(down);
  const given = { accessTokenTtlMs: 1000, heartbeatIntervalMs: 100, sessionTimeoutMs: 1100, refreshThresholdMs: 500 };
  expect(await fetchSessionPolicy({ fallback: given })).toEqual({ ...given, source: "fallback" });
  // An unreplaced placeholder of the served file.
  const placeholder = "__SLIDECAR_POLICY__" as unknown as typeof given;
  expect(await fetchSessionPolicy({ fallback: placeholder })).toEqual({ ...DEFAULT_SESSION_POLICY, source: "fallback" });
});

test("b1_a_denied_full_or_spoilt_storage_hurts_nobody", async () => {
  const denied = new Proxy({}, { get: () => { throw new DOMException("denied"); }, set: () => { throw new DOMException("full"); } }); // prettier-ignore
  serve(json(POLICY), denied);
  expect((await fetchSessionPolicy()).source).toBe("server");
  serve(down, denied);
  expect((await fetchSessionPolicy()).source).toBe("fallback");
  serve(down, { "/auth/session-policy": "{" });
  expect((await fetchSessionPolicy()).source).toBe("fallback");
  serve(down, { "/auth/session-policy": '{"accessTokenTtlMs":1}' });
  expect((await fetchSessionPolicy()).source).toBe("fallback");
});
