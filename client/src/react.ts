import { useEffect, useState, useSyncExternalStore } from "react";
import { type SessionKeepAlive, type SessionKeepAliveOptions, type Snapshot, createSessionKeepAlive } from "./keepalive.js";

/** Watches the session while the component is mounted. Options are read once. Renders as `stopped` on a server. */
export function useSessionKeepAlive(options?: SessionKeepAliveOptions): Snapshot & Pick<SessionKeepAlive, "extend" | "logout"> {
  const [keepAlive] = useState(() => createSessionKeepAlive(options));
  const snapshot = useSyncExternalStore(keepAlive.subscribe, keepAlive.getSnapshot, keepAlive.getSnapshot);
  useEffect(() => {
    void keepAlive.start();
    return keepAlive.stop;
  }, [keepAlive]);
  return { ...snapshot, extend: keepAlive.extend, logout: keepAlive.logout };
}
