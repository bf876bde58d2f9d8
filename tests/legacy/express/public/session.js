'use strict';

// Nobody at the keyboard for this long: log out.
const SESSION_TIMEOUT_MS = 65 * 60 * 1000;
const HEARTBEAT_INTERVAL_MS = 10 * 60 * 1000;

let lastActivity = Date.now();
let isActive = false;

for (const event of ['click', 'keydown', 'scroll']) {
  addEventListener(event, () => { lastActivity = Date.now(); isActive = true; }, { passive: true });
}

setInterval(() => {
  if (isActive) fetch('/account');
  isActive = false;
}, HEARTBEAT_INTERVAL_MS);

setInterval(() => {
  if (Date.now() - lastActivity > SESSION_TIMEOUT_MS) {
    fetch('/logout', { method: 'POST' }).then(() => location.reload());
  }
}, 30 * 1000);
