import { IS_SERVED } from "./flavour.js";
import { fallbackPolicy, fetchSessionPolicy } from "./policy.js";
const TICK = 15e3;
const LONGEST_PAUSE = 9e4;
const CALL_TIMEOUT = 1e4;
const VERSION = "Session-Policy-Version";
const INPUT = ["pointerdown", "keydown", "touchstart", "wheel"];
function createSessionKeepAlive(options = {}) {
  const base = IS_SERVED ? `${options.endpoints}session-` : (options.endpoints ?? "/auth").replace(/\/*$/, "/session-");
  const listeners = /* @__PURE__ */ new Set();
  let watch;
  let channel;
  let observer;
  let timer;
  let queue = Promise.resolve();
  let calls = 0;
  let policy = IS_SERVED ? fallbackPolicy(`${base}policy`) : fallbackPolicy("", options.fallback);
  let version;
  let seen = false;
  let final = false;
  let deadline = 0;
  let stamp = 0;
  let news = 0;
  let heardAt = 0;
  let input = 0;
  let checked = 0;
  let ticked = 0;
  let snapshot = IS_SERVED ? { state: "stopped" } : { state: "stopped", expiresAt: 0, remainingMs: 0, final, reason: void 0, policySource: policy.source };
  const left = () => deadline - Date.now();
  const is = (state) => snapshot.state === state;
  const isLive = () => !is("expired") && !is("stopped");
  const isOff = (a, b, by) => Math.abs(a - b) >= by;
  const warnBefore = () => Math.min(
    // A TTL under 40 s cannot give 20 s of warning and still have a time without.
    policy.accessTokenTtlMs / 2,
    // Before the threshold, a press of the button could not renew yet.
    Math.max(2e4, !IS_SERVED && options.warnBeforeMs || Math.min(12e4, policy.accessTokenTtlMs / 4, policy.refreshThresholdMs))
  );
  const set = (state, reason) => {
    const remainingMs = Math.max(0, left());
    snapshot = IS_SERVED ? { state, remainingMs, final } : { state, expiresAt: deadline, remainingMs, final, reason, policySource: policy.source };
    schedule();
    listeners.forEach((listener) => listener());
  };
  const tell = (over) => channel?.postMessage({ d: deadline, s: stamp, i: input, c: checked, o: over });
  const learn = (end2, at, isTold) => {
    const moved = isOff(end2, deadline, 1e3);
    deadline = end2;
    stamp = at;
    heardAt = Date.now();
    news++;
    seen = true;
    const state = left() > warnBefore() ? "active" : "warning";
    if (moved || !is(state) || final !== snapshot.final || !IS_SERVED && policy.source !== snapshot.policySource) set(state);
    else schedule();
    if (!isTold) tell();
  };
  const hear = (end2, at, isTold) => {
    if (end2 && at > stamp) {
      if (isLive()) learn(end2, at, isTold);
      else {
        stamp = at;
        ask();
      }
    }
  };
  const end = (reason) => {
    heardAt = Date.now();
    news++;
    deadline = 0;
    version = void 0;
    set(seen ? "expired" : "stopped", reason);
  };
  const lose = () => {
    heardAt ||= Date.now();
    if (isOff(Date.now(), heardAt, policy.sessionTimeoutMs)) end("unreachable");
    else if (!is("offline")) set("offline");
  };
  const isGone = (mine) => !IS_SERVED && (!mine || mine !== watch);
  const call = async (what) => {
    const begun = Date.now();
    const before = news;
    const mine = watch;
    const isBeat = what === "heartbeat";
    const isLogout = what === "logout";
    let response;
    let body = {};
    try {
      response = await fetch(base + what, {
        method: what === "status" ? "GET" : "POST",
        // The served file is of one origin with its endpoints; a package may be used on another.
        ...IS_SERVED ? void 0 : { credentials: "include" },
        signal: AbortSignal.timeout(CALL_TIMEOUT)
      });
      body = Object(await response.json());
    } catch {
    }
    const status = response?.status;
    const field = (name) => response.headers.get(name) ?? "";
    const isAlive = isBeat ? status === 204 : status === 200 && !!body.active;
    if (isAlive && !isGone(mine) && version !== field(VERSION)) {
      version = field(VERSION);
      policy = await fetchSessionPolicy(IS_SERVED ? { url: `${base}policy` } : { url: `${base}policy`, fallback: options.fallback });
      if (policy.source !== "server") version = void 0;
    }
    if (isGone(mine)) return false;
    if (status === 401 || (isLogout ? status === 204 : status === 200 && body.active === false)) {
      if (!isLogout && news !== before) return call(what);
      const reason = isLogout ? what : `${body.reason}`;
      end(reason);
      if (seen) tell(reason);
      return isLogout;
    }
    if (isAlive) {
      if (news !== before && !isLive()) return call(what);
      const timing = /\bsession;dur=(.+?);desc="(\d+)/.exec(field("Server-Timing"));
      const remaining = +(timing?.[1] ?? body.expiresInMs ?? (field("Session-Expires-In") || NaN) + "000");
      const at = +(timing?.[2] ?? stamp);
      if (!isBeat) final = (body.absoluteExpiresInMs ?? Infinity) - remaining < 1e3;
      if (isBeat || !hasInput()) checked = begun;
      if (remaining >= 0 && (news === before || at >= stamp)) learn(begun + remaining, at);
      if (isBeat && !(remaining > warnBefore())) return call("status");
      if (remaining >= 0) return true;
    }
    if (isLive() || !heardAt) lose();
    return false;
  };
  const enqueue = (what) => {
    const mine = watch;
    calls++;
    const answer = queue.then(() => !isGone(mine) && call(what));
    queue = answer.finally(() => calls--);
    return answer;
  };
  const ask = () => calls || void enqueue("status");
  const hasInput = () => input > checked && !isOff(Date.now(), input, policy.heartbeatIntervalMs);
  const check = async () => {
    const work = () => calls || enqueue(hasInput() ? "heartbeat" : "status");
    try {
      await navigator.locks.request(base, { ifAvailable: true }, (lock) => lock && work());
    } catch {
      void work();
    }
  };
  const schedule = () => {
    clearTimeout(timer);
    ticked = Date.now();
    if (isLive()) {
      const next = is("warning") ? left() : left() - warnBefore();
      const inStep = next > 0 ? next % (is("warning") ? 1e3 : TICK) + 1 : 1e3;
      timer = setTimeout(tick, is("offline") ? TICK : Math.min(policy.heartbeatIntervalMs, inStep));
    }
  };
  const tick = () => {
    const now = Date.now();
    const slept = now < ticked || now - ticked > LONGEST_PAUSE;
    if (now < ticked) heardAt = now;
    schedule();
    const isDue = left() <= 0 || is("active") && left() <= warnBefore() || isOff(now, checked, policy.heartbeatIntervalMs);
    if (slept || is("offline") || isDue) void check();
    if (is("warning") && !slept) set("warning");
  };
  const wake = () => {
    if (!document.hidden && seen && isOff(Date.now(), heardAt, 1e3)) ask();
  };
  const onInput = (event) => {
    const now = Date.now();
    if (event.isTrusted && isOff(now, input, 1e3)) {
      input = now;
      tell();
    }
  };
  const onMessage = ({ data }) => {
    input = Math.max(input, data.i);
    checked = Math.max(checked, data.c);
    if (!data.o) hear(data.d, data.s, true);
    else if (isLive()) end(data.o);
  };
  const onEntries = (list) => {
    for (const entry of list.getEntries()) {
      for (const { name, duration, description } of entry.serverTiming ?? []) {
        const age = performance.now() - entry.responseStart;
        if (name === "session") hear(Date.now() - age + duration, +description);
      }
    }
  };
  const join = (event) => {
    channel?.close();
    if (event?.type === "pagehide") channel = void 0;
    else (channel = new BroadcastChannel(base)).onmessage = onMessage;
  };
  const start = async () => {
    if (!IS_SERVED && watch) return;
    if (!IS_SERVED) {
      watch = new AbortController();
      policy = fallbackPolicy(`${base}policy`, options.fallback);
      version = void 0;
      heardAt = stamp = 0;
      seen = final = false;
    }
    checked = Date.now();
    const signal = watch?.signal;
    const input2 = IS_SERVED ? INPUT : options.autoHeartbeat === false ? [] : options.events ?? INPUT;
    for (const type of input2) addEventListener(type, onInput, IS_SERVED ? { capture: true, passive: true } : { signal, capture: true, passive: true });
    for (const type of ["visibilitychange", "pageshow", "focus", "online"]) addEventListener(type, wake, ...IS_SERVED ? [] : [{ signal }]);
    await enqueue("status");
    if (!IS_SERVED && signal.aborted) return;
    try {
      join();
      for (const type of ["pagehide", "pageshow"]) addEventListener(type, join, ...IS_SERVED ? [] : [{ signal }]);
      tell();
      observer = new PerformanceObserver(onEntries);
      for (const type of ["resource", "navigation"]) observer.observe({ type, buffered: true });
    } catch {
    }
  };
  const stop = () => {
    watch?.abort();
    channel?.close();
    observer?.disconnect();
    watch = channel = observer = void 0;
    seen = false;
    deadline = 0;
    set("stopped");
  };
  return {
    start,
    ...IS_SERVED ? void 0 : { stop },
    extend: () => enqueue("heartbeat"),
    logout: () => enqueue("logout"),
    getSnapshot: () => snapshot,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    }
  };
}
export {
  createSessionKeepAlive
};
