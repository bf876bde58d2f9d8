const DEFAULT_SESSION_POLICY = {
  accessTokenTtlMs: 36e5,
  heartbeatIntervalMs: 6e5,
  sessionTimeoutMs: 39e5,
  refreshThresholdMs: 18e5
};
const LONGEST_TIMER = 2 ** 31 - 1;
const FIELDS = Object.keys(DEFAULT_SESSION_POLICY);
async function fetchSessionPolicy(options = {}) {
  const { url = "/auth/session-policy", signal } = options;
  const key = `slidecar ${url}`;
  const gaveUp = new AbortController();
  const abort = () => gaveUp.abort();
  const timer = setTimeout(abort, Math.min(options.timeoutMs ?? 5e3, LONGEST_TIMER));
  try {
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    const response = await fetch(url, { credentials: "include", signal: gaveUp.signal });
    const policy = response.ok && readPolicy(await response.json());
    if (policy) {
      remember(key, policy);
      return { ...policy, source: "server" };
    }
  } catch {
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
  const fallback = readPolicy(options.fallback) ?? DEFAULT_SESSION_POLICY;
  const last = recall(key);
  return last ? { ...pick((field) => Math.min(fallback[field], last[field])), source: "cache" } : { ...fallback, source: "fallback" };
}
function readPolicy(value) {
  const given = Object(value);
  return FIELDS.every((field) => Number.isFinite(given[field]) && given[field] > 0) ? pick((field) => given[field]) : void 0;
}
function pick(of) {
  return Object.fromEntries(FIELDS.map((field) => [field, of(field)]));
}
function remember(key, policy) {
  try {
    localStorage.setItem(key, JSON.stringify(policy));
  } catch {
  }
}
function recall(key) {
  try {
    return readPolicy(JSON.parse(localStorage.getItem(key)));
  } catch {
    return void 0;
  }
}
export {
  DEFAULT_SESSION_POLICY,
  fetchSessionPolicy,
  readPolicy
};
