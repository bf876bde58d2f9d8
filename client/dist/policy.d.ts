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
export type SourcedPolicy = ClientSessionPolicy & {
    source: PolicySource;
};
/**
 * 1 h, 10 m, 65 m and 30 m: on purpose shorter than a server's usual 2 h. A fallback must end early, never late. In the file that
 * slidecar serves it puts its own policy, halved, in the place of the string.
 */
export declare const DEFAULT_SESSION_POLICY: Readonly<ClientSessionPolicy>;
/** Asks the server for its policy. Never rejects: whatever fails, there is a policy that ends early, not late. */
export declare function fetchSessionPolicy(options?: PolicyOptions): Promise<SourcedPolicy>;
/** Field by field never longer than the last good policy. */
export declare function fallbackPolicy(url: string, given?: ClientSessionPolicy): SourcedPolicy;
