// What slidecar serves as <endpoints>/session-client.js and injects: it starts by itself and leaves nothing global
// behind but the element.
import { SessionKeepAliveElement, TAG } from "./dialog.js";
import { createSessionKeepAlive } from "./keepalive.js";

// Its endpoints are its neighbours. A module has no currentScript, and import.meta would be an error in a plain script.
const script = document.currentScript ?? document.querySelector('script[src*="/session-client"]');
const endpoints = new URL(".", (script as HTMLScriptElement).src).href;

const keepAlive = (SessionKeepAliveElement.shared = createSessionKeepAlive({ endpoints }));

// Only once there is something to show: frameworks that take over the whole page find it as it was sent. A frame leaves it
// to the page around it, if that is of the same origin.
keepAlive.subscribe(() => {
  const { state } = keepAlive.getSnapshot();
  if ((state === "warning" || state === "expired") && !frameElement && !document.querySelector(TAG))
    document.body.append(document.createElement(TAG));
});

void keepAlive.start();
