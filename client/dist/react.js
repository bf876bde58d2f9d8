import { useEffect, useState, useSyncExternalStore } from "react";
import { createSessionKeepAlive } from "./keepalive.js";
function useSessionKeepAlive(options) {
  const [keepAlive] = useState(() => createSessionKeepAlive(options));
  const snapshot = useSyncExternalStore(keepAlive.subscribe, keepAlive.getSnapshot, keepAlive.getSnapshot);
  useEffect(() => {
    void keepAlive.start();
    return keepAlive.stop;
  }, [keepAlive]);
  return { ...snapshot, extend: keepAlive.extend, logout: keepAlive.logout };
}
export {
  useSessionKeepAlive
};
