import { type SessionKeepAlive, type SessionKeepAliveOptions, type Snapshot } from "./keepalive.js";
/** Watches the session while the component is mounted. Options are read once. Renders as `stopped` on a server. */
export declare function useSessionKeepAlive(options?: SessionKeepAliveOptions): Snapshot & Pick<SessionKeepAlive, "extend" | "logout">;
