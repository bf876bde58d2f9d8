import { DEFAULT_SESSION_POLICY, fetchSessionPolicy, readPolicy } from "./policy.js";
const TICK = 15e3;
const LONGEST_PAUSE = 9e4;
const CALL_TIMEOUT = 1e4;
const INPUT = ["pointerdown", "keydown", "touchstart", "wheel"];
function createSessionKeepAlive(options = {}) {
  const base = (options.endpoints ?? "/auth").replace(/\/*$/, "/session-");
  const listeners = /* @__PURE__ */ new Set();
  let policy = readPolicy(options.fallback) ?? DEFAULT_SESSION_POLICY;
  let policySource = "fallback";
  let version = "";
  let refreshing;
  let run;
  let channel;
  let name = "";
  let timer;
  let calling;
  let seen = false;
  let final = false;
  let deadline = 0;
  let stamp = 0;
  let news = 0;
  let heardAt = 0;
  let input = 0;
  let checked = 0;
  let beaten = 0;
  let ticked = 0;
  let snapshot = { state: "stopped", expiresAt: 0, remainingMs: 0, final, reason: void 0, policySource };
  const left = () => deadline - Date.now();
  const is = (state) => snapshot.state === state;
  const isLive = () => !is("expired") && !is("stopped");
  const warnBefore = () => Math.min(
    // A TTL under 40 s cannot give 20 s of warning and still have a time without.
    policy.accessTokenTtlMs / 2,
    // Before the threshold, a press of the button could not renew yet.
    Math.max(2e4, options.warnBeforeMs ?? Math.min(12e4, policy.accessTokenTtlMs / 4, policy.refreshThresholdMs))
  );
  const set = (state, reason) => {
    const isOver = state === "expired" || state === "stopped";
    const remainingMs = isOver || !seen ? 0 : Math.max(0, left());
    snapshot = { state, expiresAt: isOver ? 0 : deadline, remainingMs, final, reason, policySource };
    schedule();
    for (const listener of [...listeners]) listener();
  };
  const tell = (over) => channel?.postMessage({ d: deadline, s: stamp, i: input, c: checked, b: beaten, o: over });
  const learn = (end2, at) => {
    const moved = !isLive() || !seen || Math.abs(end2 - deadline) > 999;
    deadline = moved ? end2 : Math.min(end2, deadline);
    stamp = at;
    heardAt = Date.now();
    news++;
    seen = true;
    const state = left() > warnBefore() ? "active" : "warning";
    if (moved || !is(state) || final !== snapshot.final) set(state);
    return moved;
  };
  const hear = (end2, at) => {
    if (at <= stamp && !(at === stamp && isLive() && Math.abs(end2 - deadline) > 999)) return false;
    if (isLive()) return learn(end2, at);
    stamp = at;
    void ask();
    return false;
  };
  const end = (reason) => {
    heardAt = Date.now();
    news++;
    set(seen ? "expired" : "stopped", reason);
  };
  const lose = () => {
    heardAt ||= Date.now();
    if (Date.now() - heardAt >= policy.sessionTimeoutMs) set(seen ? "expired" : "stopped", "unreachable");
    else if (!is("offline")) set("offline");
  };
  const request = async (method, path) => {
    const slow = new AbortController();
    const abort = () => slow.abort();
    const timeout = setTimeout(abort, CALL_TIMEOUT);
    run.signal.addEventListener("abort", abort, { signal: slow.signal });
    try {
      const response = await fetch(base + path, { method, credentials: "include", cache: "no-store", signal: slow.signal });
      return { response, body: Object(await response.json().catch(() => 0)) };
    } catch {
      return void 0;
    } finally {
      clearTimeout(timeout);
    }
  };
  const call = async (beat) => {
    const begun = Date.now();
    const before = news;
    const watch = run;
    const was = snapshot;
    const answer = await request(beat ? "POST" : "GET", beat ? "heartbeat" : "status");
    if (watch !== run) return false;
    const { response, body } = answer ?? {};
    if (response?.status === 401 || response?.ok && body.active === false) {
      if (news !== before) return call(false);
      const wasLive = isLive();
      end(String(body.reason));
      if (wasLive && seen) tell(snapshot.reason);
      return false;
    }
    if (response && (beat ? response.status === 204 : response.ok && body.active)) {
      const field = (name2) => response.headers.get(name2) ?? "";
      const timing = /\bsession;dur=([\d.]+);desc="(\d+)"/.exec(field("Server-Timing"));
      const remaining = +(timing?.[1] ?? body.expiresInMs ?? parseFloat(field("Session-Expires-In")) * 1e3);
      const at = +(timing?.[2] ?? stamp);
      const absolute = body.absoluteExpiresInMs;
      if (beat) beaten = checked = begun;
      else final = typeof absolute === "number" && absolute - remaining < 1e3;
      if (remaining >= 0) {
        if (news !== before && !isLive()) return call(false);
        if (news === before || at >= stamp) {
          learn(begun + remaining, at);
          tell();
        }
        const newVersion = field("Session-Policy-Version");
        if (policySource !== "server" || version && newVersion && version !== newVersion || was.reason) void refresh();
        version = newVersion || version;
      }
      if (beat && !(remaining > warnBefore())) return call(false);
      if (remaining >= 0) return true;
    }
    if (isLive() || !heardAt) lose();
    return false;
  };
  const leave = async () => {
    const watch = run;
    const answer = await request("POST", "logout");
    if (watch !== run) return false;
    const isOver = answer?.response.status === 204 || answer?.response.status === 401;
    if (isOver) {
      tell("logout");
      end("logout");
    } else if (isLive()) lose();
    return isOver;
  };
  const alone = (work) => {
    const mine = work.finally(() => {
      if (calling === mine) calling = void 0;
    });
    return calling = mine;
  };
  const ask = (beat = false) => calling ?? alone(call(beat));
  const idle = async () => {
    while (calling) await calling;
  };
  const check = async () => {
    const watch = run;
    const work = () => {
      const now = Date.now();
      if (watch !== run || calling) return;
      checked = now;
      tell();
      return ask(options.autoHeartbeat !== false && input > beaten && input > now - policy.heartbeatIntervalMs);
    };
    try {
      await navigator.locks.request(name, { ifAvailable: true }, (lock) => lock && work());
    } catch {
      await work();
    }
  };
  const refresh = () => refreshing ??= (async () => {
    const watch = run;
    const { source, ...numbers } = await fetchSessionPolicy({ url: `${base}policy`, fallback: options.fallback, signal: watch?.signal });
    refreshing = void 0;
    if (watch !== run) return;
    policy = numbers;
    policySource = source;
    if (is("warning") && left() > warnBefore()) set("active");
    else set(snapshot.state, snapshot.reason);
  })();
  const schedule = () => {
    clearTimeout(timer);
    if (!isLive()) return;
    ticked = Date.now();
    const warning = left() % 1e3;
    const delay = is("offline") ? TICK : is("warning") ? warning > 0 ? warning : 1e3 : Math.max(1e3, Math.min(TICK, policy.heartbeatIntervalMs, left() - warnBefore()));
    timer = setTimeout(tick, delay);
  };
  const tick = () => {
    const now = Date.now();
    const slept = now < ticked - 1e3 || now > ticked + LONGEST_PAUSE;
    [heardAt, input, checked, beaten] = [heardAt, input, checked, beaten].map((time) => Math.min(time, now));
    schedule();
    if (slept) void (document.hidden ? check() : ask());
    else {
      if (is("warning")) set("warning");
      const isDue = left() <= 0 || is("active") && left() <= warnBefore() || now - checked >= policy.heartbeatIntervalMs;
      if (is("offline") ? !document.hidden : isDue) void check();
    }
  };
  const wake = () => {
    if (!document.hidden && (seen || is("offline")) && Math.abs(Date.now() - heardAt) > 1e3) void ask();
  };
  const onInput = (event) => {
    const now = Date.now();
    if (event.isTrusted && Math.abs(now - input) > 1e3) {
      input = now;
      tell();
    }
  };
  const onMessage = ({ data }) => {
    input = Math.max(input, data.i);
    checked = Math.max(checked, data.c);
    beaten = Math.max(beaten, data.b);
    if (data.o) {
      if (isLive()) end(data.o);
    } else if (data.d) hear(data.d, data.s);
  };
  const observe = (signal) => {
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        for (const { name: name2, duration, description } of entry.serverTiming ?? []) {
          const age = Math.max(0, performance.now() - entry.responseStart);
          if (name2 === "session" && hear(Date.now() - age + duration, +description)) tell();
        }
      }
    });
    observer.observe({ type: "resource", buffered: true });
    observer.observe({ type: "navigation", buffered: true });
    signal.addEventListener("abort", () => observer.disconnect());
  };
  return {
    async start() {
      if (run) return;
      run = new AbortController();
      const { signal } = run;
      heardAt = stamp = 0;
      seen = final = false;
      checked = Date.now();
      name = `slidecar ${new URL(base, location.href)}`;
      try {
        channel = new BroadcastChannel(name);
        channel.onmessage = onMessage;
      } catch {
      }
      for (const type of options.events ?? INPUT) document.addEventListener(type, onInput, { signal, capture: true, passive: true });
      document.addEventListener("visibilitychange", wake, { signal });
      for (const type of ["pageshow", "focus", "online"]) window.addEventListener(type, wake, { signal });
      await refresh();
      if (!signal.aborted) await ask();
      try {
        if (!signal.aborted) observe(signal);
      } catch {
      }
    },
    stop() {
      run?.abort();
      channel?.close();
      run = channel = calling = refreshing = void 0;
      seen = false;
      set("stopped");
    },
    async extend() {
      await idle();
      return run ? ask(true) : false;
    },
    async logout() {
      await idle();
      return run ? alone(leave()) : false;
    },
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
