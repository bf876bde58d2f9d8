import { type ClientSessionPolicy, type PolicySource } from "./policy.js";
/**
 * `stopped`: not started, or there is no session on this page. `offline`: the server cannot be asked, so nobody knows.
 */
export type SessionState = "active" | "warning" | "expired" | "offline" | "stopped";
/** Replaced, never changed: two equal references mean that nothing happened. */
export interface Snapshot {
    readonly state: SessionState;
    /** When the session ends by this browser's clock, in epoch milliseconds; 0 if it is not known. */
    readonly expiresAt: number;
    /** Milliseconds that were left when this was made; fresh every second while `warning`. */
    readonly remainingMs: number;
    /** The session has reached its absolute end: nothing makes it longer. */
    readonly final: boolean;
    /** Why there is no session: the server's word (`expired`, `revoked`, …), `logout`, or `unreachable`. */
    readonly reason: string | undefined;
    readonly policySource: PolicySource;
}
export interface SessionKeepAliveOptions {
    /** The server's `SESSION_ENDPOINTS`. Default: `/auth`. */
    endpoints?: string;
    /** How long before the end the state becomes `warning`, in milliseconds; at least 20 s. Default: 2 min, a quarter of the TTL or the refresh threshold, whichever is least. */
    warnBeforeMs?: number;
    /** Whether input sends heartbeats. Default: true. */
    autoHeartbeat?: boolean;
    /** Events that are a sign of a person. Default: pointerdown, keydown, touchstart, wheel. */
    events?: readonly string[];
    /** Holds while the server cannot tell its policy. Default: `DEFAULT_SESSION_POLICY`. */
    fallback?: ClientSessionPolicy;
}
export interface SessionKeepAlive {
    /** Begins to watch; settles once the server has been asked for the first time. */
    start(): Promise<void>;
    stop(): void;
    /** Says that a person wants to stay. True if the session lives on. */
    extend(): Promise<boolean>;
    /** Ends the session here and in the other tabs. False if the server could not be reached: then it is not over. */
    logout(): Promise<boolean>;
    getSnapshot(): Snapshot;
    /** Calls back after every change; returns how to end that. */
    subscribe(listener: () => void): () => void;
}
/** Follows the server's clock. It has no look of its own, and touches nothing before `start()`. */
export declare function createSessionKeepAlive(options?: SessionKeepAliveOptions): SessionKeepAlive;
