export * from "./keepalive.js";
import { DEFAULT_SESSION_POLICY, fetchSessionPolicy } from "./policy.js";
export {
  DEFAULT_SESSION_POLICY,
  fetchSessionPolicy
};
