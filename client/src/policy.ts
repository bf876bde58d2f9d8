import { IS_SERVED } from "./flavour.js";

/** The four clocks of the server, in milliseconds, as `GET <endpoints>/session-policy` tells them. */
export interface ClientSessionPolicy {
  /** How long a token lives after a renewal. */
  accessTokenTtlMs: number;
  /** How often the browser reports a person at work. */
  heartbeatIntervalMs: number;
  /** How long a page that cannot reach the server may believe in its session. */
  sessionTimeoutMs: number;
  /** A request of a person renews once less than this remains. */
  refreshThresholdMs: number;
}

/** Where a policy comes from: the server now, the last good answer, or neither. */
export type PolicySource = "server" | "cache" | "fallback";

export interface PolicyOptions {
  /** Default: `/auth/session-policy`. */
  url?: string;
  /** Milliseconds to wait for the answer. Default: 5000. */
  timeoutMs?: number;
  /** Ends the wait instead of `timeoutMs`. */
  signal?: AbortSignal;
  /** What holds if the server cannot be asked. Default: `DEFAULT_SESSION_POLICY`. */
  fallback?: ClientSessionPolicy;
}

export type SourcedPolicy = ClientSessionPolicy & { source: PolicySource };

/**
 * 1 h, 10 m, 65 m and 30 m: on purpose shorter than a server's usual 2 h. A fallback must end early, never late. In the file that
 * slidecar serves it puts its own policy, halved, in the place of the string.
 */
export const DEFAULT_SESSION_POLICY: Readonly<ClientSessionPolicy> = IS_SERVED
  ? ("__SLIDECAR_POLICY__" as unknown as ClientSessionPolicy)
  : { accessTokenTtlMs: 3_600_000, heartbeatIntervalMs: 600_000, sessionTimeoutMs: 3_900_000, refreshThresholdMs: 1_800_000 };

/** Browsers keep a delay in a signed 32-bit number; a longer one fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1;
const TIMEOUT = 5000;
const FIELDS = Object.keys(DEFAULT_SESSION_POLICY) as (keyof ClientSessionPolicy)[];

/** Asks the server for its policy. Never rejects: whatever fails, there is a policy that ends early, not late. */
export async function fetchSessionPolicy(options: PolicyOptions = {}): Promise<SourcedPolicy> {
  const url = IS_SERVED ? options.url! : (options.url ?? "/auth/session-policy");
  let answer: SourcedPolicy | undefined;
  try {
    const signal = IS_SERVED
      ? AbortSignal.timeout(TIMEOUT)
      : (options.signal ?? AbortSignal.timeout(Math.min(options.timeoutMs ?? TIMEOUT, LONGEST_TIMER)));
    const response = await fetch(url, IS_SERVED ? { signal } : { credentials: "include", signal });
    const policy = await response.json();
    if (response.ok && isPolicy(policy)) {
      answer = { ...policy, source: "server" };
      localStorage[url] = JSON.stringify(policy);
    }
  } catch {
    // Whatever it was, there is an answer. Storage that is full or denied only makes the fallback poorer.
  }
  return answer ?? (IS_SERVED ? fallbackPolicy(url) : fallbackPolicy(url, options.fallback));
}

/** Field by field never longer than the last good policy. */
export function fallbackPolicy(url: string, given?: ClientSessionPolicy): SourcedPolicy {
  const policy: SourcedPolicy = { ...(!IS_SERVED && isPolicy(given) ? given : DEFAULT_SESSION_POLICY), source: IS_SERVED ? "cache" : "fallback" };
  try {
    const last: unknown = JSON.parse(localStorage[url]);
    if (isPolicy(last)) {
      if (!IS_SERVED) policy.source = "cache";
      for (const field of FIELDS) policy[field] = Math.min(policy[field], last[field]);
    }
  } catch {
    // None was kept, or the page is denied its storage.
  }
  return policy;
}

function isPolicy(value: unknown): value is ClientSessionPolicy {
  const given = Object(value) as ClientSessionPolicy;
  return FIELDS.every((field) => Number.isFinite(given[field]) && given[field] > 0);
}
