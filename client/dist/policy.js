import { IS_SERVED } from "./flavour.js";
const DEFAULT_SESSION_POLICY = IS_SERVED ? "__SLIDECAR_POLICY__" : { accessTokenTtlMs: 36e5, heartbeatIntervalMs: 6e5, sessionTimeoutMs: 39e5, refreshThresholdMs: 18e5 };
const LONGEST_TIMER = 2 ** 31 - 1;
const TIMEOUT = 5e3;
const FIELDS = Object.keys(DEFAULT_SESSION_POLICY);
async function fetchSessionPolicy(options = {}) {
  const url = IS_SERVED ? options.url : options.url ?? "/auth/session-policy";
  let answer;
  try {
    const signal = IS_SERVED ? AbortSignal.timeout(TIMEOUT) : options.signal ?? AbortSignal.timeout(Math.min(options.timeoutMs ?? TIMEOUT, LONGEST_TIMER));
    const response = await fetch(url, IS_SERVED ? { signal } : { credentials: "include", signal });
    const policy = await response.json();
    if (response.ok && isPolicy(policy)) {
      answer = { ...policy, source: "server" };
      localStorage[url] = JSON.stringify(policy);
    }
  } catch {
  }
  return answer ?? (IS_SERVED ? fallbackPolicy(url) : fallbackPolicy(url, options.fallback));
}
function fallbackPolicy(url, given) {
  const policy = { ...!IS_SERVED && isPolicy(given) ? given : DEFAULT_SESSION_POLICY, source: IS_SERVED ? "cache" : "fallback" };
  try {
    const last = JSON.parse(localStorage[url]);
    if (isPolicy(last)) {
      if (!IS_SERVED) policy.source = "cache";
      for (const field of FIELDS) policy[field] = Math.min(policy[field], last[field]);
    }
  } catch {
  }
  return policy;
}
function isPolicy(value) {
  const given = Object(value);
  return FIELDS.every((field) => Number.isFinite(given[field]) && given[field] > 0);
}
export {
  DEFAULT_SESSION_POLICY,
  fallbackPolicy,
  fetchSessionPolicy
};
