'use strict';

// What holds if the server does not tell: rather too short.
const DEFAULT_SESSION_POLICY = {
  accessTokenTtlMs: 60 * 60 * 1000,
  heartbeatIntervalMs: 10 * 60 * 1000,
  sessionTimeoutMs: 65 * 60 * 1000,
  refreshThresholdMs: 30 * 60 * 1000,
};

async function sessionPolicy() {
  try {
    const response = await fetch('/auth/session-policy');
    return response.ok ? await response.json() : DEFAULT_SESSION_POLICY;
  } catch (err) {
    return DEFAULT_SESSION_POLICY;
  }
}

sessionPolicy().then((policy) => {
  let lastActivity = Date.now();
  let isActive = false;
  for (const event of ['click', 'keydown', 'scroll']) {
    addEventListener(event, () => { lastActivity = Date.now(); isActive = true; }, { passive: true });
  }
  setInterval(() => {
    if (isActive) fetch('/account');
    isActive = false;
  }, policy.heartbeatIntervalMs);
  setInterval(() => {
    if (Date.now() - lastActivity > policy.sessionTimeoutMs) {
      fetch('/logout', { method: 'POST' }).then(() => location.reload());
    }
  }, 30 * 1000);
});
