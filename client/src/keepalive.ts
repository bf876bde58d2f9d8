import { IS_SERVED } from "./flavour.js";
import { type ClientSessionPolicy, type PolicySource, fallbackPolicy, fetchSessionPolicy } from "./policy.js";

/**
 * `stopped`: not started, or there is no session on this page. `offline`: the server cannot be asked, so nobody knows.
 */
export type SessionState = "active" | "warning" | "expired" | "offline" | "stopped";

/** Replaced, never changed: two equal references mean that nothing happened. */
export interface Snapshot {
  readonly state: SessionState;
  /** When the session ends by this browser's clock, in epoch milliseconds; 0 if it is not known. */
  readonly expiresAt: number;
  /** Milliseconds that were left when this was made; fresh every second while `warning`. */
  readonly remainingMs: number;
  /** The session has reached its absolute end: nothing makes it longer. */
  readonly final: boolean;
  /** Why there is no session: the server's word (`expired`, `revoked`, …), `logout`, or `unreachable`. */
  readonly reason: string | undefined;
  readonly policySource: PolicySource;
}

export interface SessionKeepAliveOptions {
  /** The server's `SESSION_ENDPOINTS`. Default: `/auth`. */
  endpoints?: string;
  /** How long before the end the state becomes `warning`, in milliseconds; at least 20 s. Default: 2 min, a quarter of the TTL or the refresh threshold, whichever is least. */
  warnBeforeMs?: number;
  /** Whether input sends heartbeats. Default: true. */
  autoHeartbeat?: boolean;
  /** Events that are a sign of a person. Default: pointerdown, keydown, touchstart, wheel. */
  events?: readonly string[];
  /** Holds while the server cannot tell its policy. Default: `DEFAULT_SESSION_POLICY`. */
  fallback?: ClientSessionPolicy;
}

export interface SessionKeepAlive {
  /** Begins to watch; settles once the server has been asked for the first time. */
  start(): Promise<void>;
  stop(): void;
  /** Says that a person wants to stay. True if the session lives on. */
  extend(): Promise<boolean>;
  /** Ends the session here and in the other tabs. False if the server could not be reached: then it is not over. */
  logout(): Promise<boolean>;
  getSnapshot(): Snapshot;
  /** Calls back after every change; returns how to end that. */
  subscribe(listener: () => void): () => void;
}

/** What tabs tell each other. The keys are short because the served file must be small. */
interface Message {
  /** The end by the clock of this browser, which all tabs share, and the server's stamp of it. */
  readonly d: number;
  readonly s: number;
  /** Last input, and last time that it was reported or found to be none. */
  readonly i: number;
  readonly c: number;
  /** Why it is over, if it is. */
  readonly o: string | undefined;
}

/** Nothing is late by more than this. All deadlines are absolute, so no timer is ever longer. */
const TICK = 15_000;
/** Background tabs get a timer a minute. A longer pause was a sleep, and a clock that went back was set. */
const LONGEST_PAUSE = 90_000;
const CALL_TIMEOUT = 10_000;
const VERSION = "Session-Policy-Version";
// Not scroll: a page that scrolls by itself (a log, a chat) would never end.
const INPUT = ["pointerdown", "keydown", "touchstart", "wheel"];

/** Follows the server's clock. It has no look of its own, and touches nothing before `start()`. */
export function createSessionKeepAlive(options: SessionKeepAliveOptions = {}): SessionKeepAlive {
  const base = IS_SERVED ? `${options.endpoints}session-` : (options.endpoints ?? "/auth").replace(/\/*$/, "/session-");
  const listeners = new Set<() => void>();

  // Each watch has its own: a restarted one must not hear the answers of the one before.
  let watch: AbortController | undefined;
  let channel: BroadcastChannel | undefined;
  let observer: PerformanceObserver | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let calls = 0;

  // What the server said. `seen`: there was a session on this page. `news` counts, so that a late answer is known.
  let policy = IS_SERVED ? fallbackPolicy(`${base}policy`) : fallbackPolicy("", options.fallback);
  let version: string | undefined;
  let seen = false;
  let final = false;
  let deadline = 0;
  let stamp = 0;
  let news = 0;
  // Times of this browser: the server's last word, last input, last report of it (or of none), last look at the clock.
  let heardAt = 0;
  let input = 0;
  let checked = 0;
  let ticked = 0;

  let snapshot: Snapshot = IS_SERVED
    ? ({ state: "stopped" } as Snapshot)
    : { state: "stopped", expiresAt: 0, remainingMs: 0, final, reason: undefined, policySource: policy.source };

  const left = () => deadline - Date.now();
  const is = (state: SessionState) => snapshot.state === state;
  const isLive = () => !is("expired") && !is("stopped");
  /** Farther away than this; also if the clock was set back. */
  const isOff = (a: number, b: number, by: number) => Math.abs(a - b) >= by;
  const warnBefore = () =>
    Math.min(
      // A TTL under 40 s cannot give 20 s of warning and still have a time without.
      policy.accessTokenTtlMs / 2,
      // Before the threshold, a press of the button could not renew yet.
      Math.max(20_000, (!IS_SERVED && options.warnBeforeMs) || Math.min(120_000, policy.accessTokenTtlMs / 4, policy.refreshThresholdMs)),
    );

  const set = (state: SessionState, reason?: string) => {
    const remainingMs = Math.max(0, left());
    snapshot = IS_SERVED
      ? ({ state, remainingMs, final } as Snapshot)
      : { state, expiresAt: deadline, remainingMs, final, reason, policySource: policy.source };
    schedule();
    listeners.forEach((listener) => listener());
  };

  const tell = (over?: string) =>
    channel?.postMessage({ d: deadline, s: stamp, i: input, c: checked, o: over } satisfies Message);

  /** The server said when the session ends; `isTold`: to another tab. */
  const learn = (end: number, at: number, isTold?: boolean) => {
    // Less than a second is the network's, and no news to anybody.
    const moved = isOff(end, deadline, 1000);
    deadline = end;
    stamp = at;
    heardAt = Date.now();
    news++;
    seen = true;
    const state = left() > warnBefore() ? "active" : "warning";
    if (moved || !is(state) || final !== snapshot.final || (!IS_SERVED && policy.source !== snapshot.policySource)) set(state);
    else schedule();
    if (!isTold) tell();
  };

  /** An end that was not asked for: from another tab, or beside an answer to the page. An old one is a replay. */
  const hear = (end: number, at: number, isTold?: boolean) => {
    if (end && at > stamp) {
      if (isLive()) learn(end, at, isTold);
      else {
        // It may have been on its way since before the end: only an answer of its own brings a session back.
        stamp = at;
        ask();
      }
    }
  };

  /** There is no session. A page that never had one, such as a login, is not told that one has ended. */
  const end = (reason: string) => {
    heardAt = Date.now();
    news++;
    deadline = 0;
    // The next session may have clocks of its own.
    version = undefined;
    set(seen ? "expired" : "stopped", reason);
  };

  /** No answer, or none that says anything. Only a silence that outlives every token ends a session. */
  const lose = () => {
    heardAt ||= Date.now();
    if (isOff(Date.now(), heardAt, policy.sessionTimeoutMs)) end("unreachable");
    else if (!is("offline")) set("offline");
  };

  /** Whether what was begun under this watch belongs to no running one. */
  const isGone = (mine: AbortController | undefined) => !IS_SERVED && (!mine || mine !== watch);

  const call = async (what: "status" | "heartbeat" | "logout"): Promise<boolean> => {
    const begun = Date.now();
    const before = news;
    const mine = watch;
    const isBeat = what === "heartbeat";
    const isLogout = what === "logout";
    let response: Response | undefined;
    let body: { active?: unknown; reason?: unknown; expiresInMs?: number; absoluteExpiresInMs?: number | null } = {};
    try {
      response = await fetch(base + what, {
        method: what === "status" ? "GET" : "POST",
        // The served file is of one origin with its endpoints; a package may be used on another.
        ...(IS_SERVED ? undefined : { credentials: "include" }),
        signal: AbortSignal.timeout(CALL_TIMEOUT),
      });
      body = Object(await response.json());
    } catch {
      // What is no JSON says nothing, but its status does.
    }
    const status = response?.status;
    const field = (name: string) => response!.headers.get(name) ?? "";
    const isAlive = isBeat ? status === 204 : status === 200 && !!body.active;
    if (isAlive && !isGone(mine) && version !== field(VERSION)) {
      version = field(VERSION);
      policy = await fetchSessionPolicy(IS_SERVED ? { url: `${base}policy` } : { url: `${base}policy`, fallback: options.fallback });
      // Asked again with the next call.
      if (policy.source !== "server") version = undefined;
    }
    if (isGone(mine)) return false;
    if (status === 401 || (isLogout ? status === 204 : status === 200 && body.active === false)) {
      // A session may have begun in another tab meanwhile.
      if (!isLogout && news !== before) return call(what);
      const reason = isLogout ? what : `${body.reason}`;
      end(reason);
      if (seen) tell(reason);
      return isLogout;
    }
    if (isAlive) {
      // Or it has ended there.
      if (news !== before && !isLive()) return call(what);
      const timing = /\bsession;dur=(.+?);desc="(\d+)/.exec(field("Server-Timing"));
      const remaining = +(timing?.[1] ?? body.expiresInMs ?? (field("Session-Expires-In") || NaN) + "000");
      const at = +(timing?.[2] ?? stamp);
      if (!isBeat) final = (body.absoluteExpiresInMs ?? Infinity) - remaining < 1000;
      if (isBeat || !hasInput()) checked = begun;
      // Older than what was heard while it was under way?
      if (remaining >= 0 && (news === before || at >= stamp)) learn(begun + remaining, at);
      // A beat that did not help, or was not told how much: the status knows why.
      if (isBeat && !(remaining > warnBefore())) return call("status");
      if (remaining >= 0) return true;
    }
    if (isLive() || !heardAt) lose();
    return false;
  };

  /** One call at a time, so that answers come in order. */
  const enqueue = (what: "status" | "heartbeat" | "logout") => {
    const mine = watch;
    calls++;
    const answer = queue.then(() => !isGone(mine) && call(what));
    queue = answer.finally(() => calls--);
    return answer;
  };
  const ask = () => calls || void enqueue("status");

  /** Of an hour ago, before a sleep, it is no sign of a person now. */
  const hasInput = () => input > checked && !isOff(Date.now(), input, policy.heartbeatIntervalMs);

  /** One tab asks for all of them. */
  const check = async () => {
    const work = () => calls || enqueue(hasInput() ? "heartbeat" : "status");
    try {
      await navigator.locks.request(base, { ifAvailable: true }, (lock) => lock && work());
    } catch {
      // No locks in an insecure context: the tabs know of each other's checks by the channel, if at all.
      void work();
    }
  };

  const schedule = () => {
    clearTimeout(timer);
    ticked = Date.now();
    if (isLive()) {
      // In step with the moment that comes next, warning or end, and just after it. Once it has passed, nobody is in a hurry.
      const next = is("warning") ? left() : left() - warnBefore();
      const inStep = next > 0 ? (next % (is("warning") ? 1000 : TICK)) + 1 : 1000;
      timer = setTimeout(tick, is("offline") ? TICK : Math.min(policy.heartbeatIntervalMs, inStep));
    }
  };

  const tick = () => {
    const now = Date.now();
    const slept = now < ticked || now - ticked > LONGEST_PAUSE;
    // A clock that was set back is no long silence.
    if (now < ticked) heardAt = now;
    schedule();
    const isDue = left() <= 0 || (is("active") && left() <= warnBefore()) || isOff(now, checked, policy.heartbeatIntervalMs);
    if (slept || is("offline") || isDue) void check();
    if (is("warning") && !slept) set("warning");
  };

  /** Back from sleep, another page or no network: ask before anything is shown. */
  const wake = () => {
    if (!document.hidden && seen && isOff(Date.now(), heardAt, 1000)) ask();
  };

  const onInput = (event: Event) => {
    const now = Date.now();
    if (event.isTrusted && isOff(now, input, 1000)) {
      input = now;
      tell();
    }
  };

  const onMessage = ({ data }: MessageEvent<Message>) => {
    input = Math.max(input, data.i);
    checked = Math.max(checked, data.c);
    if (!data.o) hear(data.d, data.s, true);
    else if (isLive()) end(data.o);
  };

  const onEntries = (list: PerformanceObserverEntryList) => {
    for (const entry of list.getEntries() as PerformanceResourceTiming[]) {
      for (const { name, duration, description } of entry.serverTiming ?? []) {
        // A long answer is heard of at its end, but what it says was true when it began.
        const age = performance.now() - entry.responseStart;
        if (name === "session") hear(Date.now() - age + duration, +description);
      }
    }
  };

  // The browser keeps no page to come back to that has an open channel.
  const join = (event?: Event) => {
    channel?.close();
    if (event?.type === "pagehide") channel = undefined;
    else (channel = new BroadcastChannel(base)).onmessage = onMessage;
  };

  const start = async () => {
    if (!IS_SERVED && watch) return;
    if (!IS_SERVED) {
      watch = new AbortController();
      policy = fallbackPolicy(`${base}policy`, options.fallback);
      version = undefined;
      heardAt = stamp = 0;
      seen = final = false;
    }
    checked = Date.now();
    const signal = watch?.signal;
    const input = IS_SERVED ? INPUT : options.autoHeartbeat === false ? [] : (options.events ?? INPUT);
    for (const type of input) addEventListener(type, onInput, IS_SERVED ? { capture: true, passive: true } : { signal, capture: true, passive: true });
    for (const type of ["visibilitychange", "pageshow", "focus", "online"]) addEventListener(type, wake, ...(IS_SERVED ? [] : [{ signal }]));
    // Only now the others: the first truth is the status, for the page itself may be a replay from the cache.
    await enqueue("status");
    if (!IS_SERVED && signal!.aborted) return;
    try {
      join();
      for (const type of ["pagehide", "pageshow"]) addEventListener(type, join, ...(IS_SERVED ? [] : [{ signal }]));
      tell();
      observer = new PerformanceObserver(onEntries);
      for (const type of ["resource", "navigation"]) observer.observe({ type, buffered: true });
    } catch {
      // Not in this browser: its own calls still tell.
    }
  };

  const stop = () => {
    watch?.abort();
    channel?.close();
    observer?.disconnect();
    watch = channel = observer = undefined;
    seen = false;
    deadline = 0;
    set("stopped");
  };

  return {
    start,
    ...(IS_SERVED ? (undefined as unknown as { stop: () => void }) : { stop }),
    extend: () => enqueue("heartbeat"),
    logout: () => enqueue("logout"),
    getSnapshot: () => snapshot,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
