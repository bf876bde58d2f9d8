import { type SessionKeepAlive } from "./keepalive.js";
/** Each is an attribute of the element too: `<session-keepalive stay="Angemeldet bleiben">`. */
export interface SessionTexts {
    "warning-title": string;
    "warning-text": string;
    /** Said aloud; `{time}` is the time in words, in the language of the page. */
    "time-left": string;
    /** Instead of `warning-text` where nothing makes the session longer. */
    "final-text": string;
    "offline-text": string;
    "expired-title": string;
    "expired-text": string;
    "stay": string;
    "sign-out": string;
    "sign-in": string;
    "close": string;
}
declare const Base: {
    new (): HTMLElement;
    prototype: HTMLElement;
};
export declare const TAG = "session-keepalive";
/** `<session-keepalive>`: warns before the session ends and says when it has. Shows nothing otherwise. */
export declare class SessionKeepAliveElement extends Base {
    #private;
    /** What elements follow that are given no watch of their own. */
    static shared: SessionKeepAlive | undefined;
    /** The watch to follow. Without one the element starts its own, with the attributes `endpoints` and `warn-before-ms`. */
    keepAlive: SessionKeepAlive | undefined;
    texts: Partial<SessionTexts>;
    connectedCallback(): void;
    disconnectedCallback(): void;
}
export {};
