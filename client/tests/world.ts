// A browser with tabs and a server, both small enough to be moved by hand. The server's clock is days ahead on purpose:
// whoever compares the two clocks is found out.
import { vi } from "vitest";
import { type SessionKeepAlive, type SessionKeepAliveOptions, createSessionKeepAlive } from "../src/index.js";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const POLICY = { accessTokenTtlMs: 2 * HOUR, heartbeatIntervalMs: 10 * MINUTE, sessionTimeoutMs: 125 * MINUTE, refreshThresholdMs: HOUR };
const AHEAD = 72 * HOUR;

type Mode = "up" | "down" | "503" | "html" | "401";

export class World {
  readonly calls: string[] = [];
  readonly channels = new Set<FakeChannel>();
  readonly observers: Tab["observers"] = [];
  readonly storage: Record<string, string> = {};
  readonly held = new Set<string>();
  policy: unknown = POLICY;
  version = "v1";
  mode: Mode = "up";
  /** By this machine's clock; undefined is no session. */
  endsAt: number | undefined;
  absolute: number | undefined;
  renews = true;
  /** A proxy in between takes Server-Timing away. */
  strips = false;
  stripsAll = false;
  /** What it says is left, whatever is. */
  says: number | undefined;
  latency = 10;
  hasLocks = true;
  hasChannel = true;
  hidden = false;

  constructor() {
    vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    const world = this;
    vi.stubGlobal("location", new URL("https://app.example/page"));
    vi.stubGlobal("document", {
      get hidden() {
        return world.hidden;
      },
    });
    vi.stubGlobal("localStorage", this.storage);
    vi.stubGlobal("fetch", (url: string, init?: RequestInit) => this.fetch(url, init));
    vi.stubGlobal("BroadcastChannel", function (name: string) {
      if (!world.hasChannel) throw new ReferenceError("no BroadcastChannel");
      return new FakeChannel(world, name);
    });
    vi.stubGlobal("navigator", {
      get locks() {
        return world.hasLocks ? { request: world.lock } : undefined;
      },
    });
    vi.stubGlobal("PerformanceObserver", function (listener: (list: unknown) => void) {
      world.observers.push(listener);
      return { observe() {}, disconnect: () => world.observers.splice(world.observers.indexOf(listener), 1) };
    });
  }

  readonly lock = async (name: string, _: unknown, work: (lock: object | null) => unknown) => {
    if (this.held.has(name)) return work(null);
    this.held.add(name);
    try {
      return await work({});
    } finally {
      this.held.delete(name);
    }
  };

  lives(ms: number): void {
    this.endsAt = Date.now() + ms;
    this.mode = "up";
  }

  count(what: string): number {
    return this.calls.filter((call) => call.endsWith(what)).length;
  }

  stamp(at = Date.now()): number {
    return at + AHEAD;
  }

  /** The page gets an answer of the application, with a clock beside it. */
  async answers(left: number, at = Date.now()): Promise<void> {
    const entry = {
      responseStart: performance.now(),
      serverTiming: [
        { name: "db", duration: 5, description: "" },
        { name: "session", duration: left, description: String(this.stamp(at)) },
      ],
    };
    for (const listener of [...this.observers]) listener({ getEntries: () => [entry] });
    await pass(100);
  }

  async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const what = url.replace(/.*session-/, "");
    this.calls.push(`${init.method ?? "GET"} ${what}`);
    // As the request arrives, half-way.
    await pause(this.latency);
    const now = Date.now();
    const alive = this.endsAt !== undefined && this.endsAt > now;
    const { mode } = this;
    if (mode === "up" && what === "heartbeat" && alive && this.renews) this.endsAt = now + POLICY.accessTokenTtlMs;
    if (mode === "up" && what === "logout") this.endsAt = undefined;
    const left = this.says ?? (this.endsAt ?? 0) - now;
    const headers = new Headers();
    if (alive && what !== "logout") {
      headers.set("Session-Policy-Version", this.version);
      if (!this.stripsAll) headers.set("Session-Expires-In", String(Math.floor(left / 1000)));
      if (!this.strips && !this.stripsAll) headers.set("Server-Timing", `db;dur=5, session;dur=${left};desc="${this.stamp(now)}"`);
    }
    await pause(this.latency);
    if (mode === "down") throw new TypeError("Failed to fetch");
    if (mode === "503") return Response.json({ reason: "store_lost" }, { status: 503 });
    if (mode === "html") return new Response("<html>Welcome to the hotel</html>", { status: 200 });
    if (mode === "401") return Response.json({ reason: "revoked" }, { status: 401 });
    if (what === "policy") return Response.json(this.policy, { headers });
    if (what === "logout") return new Response(null, { status: 204 });
    if (what === "heartbeat") return alive ? new Response(null, { status: 204, headers }) : Response.json({ reason: "expired" }, { status: 401 });
    if (!alive) return Response.json({ active: false, reason: this.endsAt === undefined ? "no_cookie" : "expired" });
    return Response.json({ active: true, expiresInMs: left, renewsInMs: 0, absoluteExpiresInMs: this.absolute === undefined ? null : this.absolute - now }, { headers });
  }
}

export class FakeChannel {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  constructor(
    readonly world: World,
    readonly name: string,
  ) {
    world.channels.add(this);
  }
  postMessage(data: unknown): void {
    const copy: unknown = JSON.parse(JSON.stringify(data));
    for (const other of this.world.channels) if (other !== this && other.name === this.name) setTimeout(() => other.onmessage?.({ data: copy }), 1);
  }
  close(): void {
    this.world.channels.delete(this);
  }
}

export class Tab {
  readonly keepAlive: SessionKeepAlive;
  readonly observers: ((list: unknown) => void)[] = [];
  readonly states: string[] = [];
  readonly #listeners = new Map<string, ((event: object) => void)[]>();

  constructor(options?: SessionKeepAliveOptions) {
    this.keepAlive = createSessionKeepAlive(options);
    this.keepAlive.subscribe(() => {
      const { state } = this.keepAlive.getSnapshot();
      if (this.states.at(-1) !== state) this.states.push(state);
    });
  }

  async start(): Promise<this> {
    vi.stubGlobal("addEventListener", (type: string, listener: (event: object) => void, options?: { signal?: AbortSignal }) => {
      const all = this.#listeners.get(type) ?? [];
      this.#listeners.set(type, [...all, (event) => options?.signal?.aborted || listener(event)]);
    });
    void this.keepAlive.start();
    await pass(200);
    return this;
  }

  fire(type: string, event: object = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener({ type, isTrusted: true, ...event });
  }

  get state(): string {
    return this.keepAlive.getSnapshot().state;
  }

  get left(): number {
    return this.keepAlive.getSnapshot().expiresAt - Date.now();
  }
}

export const pass = async (ms: number): Promise<void> => void (await vi.advanceTimersByTimeAsync(ms));

/** The machine sleeps: time goes on, timers do not. */
export function sleep(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
