import { type SessionKeepAlive } from "./keepalive.js";
export declare const TAG = "session-keepalive";
declare const SessionKeepAliveElement_base: {
    new (): HTMLElement;
    prototype: HTMLElement;
};
/**
 * `<session-keepalive>`: warns before the session ends and says when it has; shows nothing otherwise. The module can be
 * loaded on a server, where there are no elements.
 */
export declare class SessionKeepAliveElement extends SessionKeepAliveElement_base {
    #private;
    /** In the served file, what all elements follow. */
    static shared: SessionKeepAlive | undefined;
    /** The watch to follow. Without one the element starts its own, with the attributes `endpoints` and `warn-before-ms`. */
    keepAlive: SessionKeepAlive | undefined;
    connectedCallback(): void;
    disconnectedCallback(): void;
}
export {};
