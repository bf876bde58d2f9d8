export * from "./keepalive.js";
export { type ClientSessionPolicy, type PolicyOptions, type PolicySource, type SourcedPolicy, DEFAULT_SESSION_POLICY, fetchSessionPolicy } from "./policy.js";
