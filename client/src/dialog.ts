import { IS_SERVED } from "./flavour.js";
import { type SessionKeepAlive, createSessionKeepAlive } from "./keepalive.js";

/**
 * Title, text, and what the two buttons say. An attribute of the same name replaces one:
 * `<session-keepalive warning="Sind Sie noch da?|Sie werden gleich abgemeldet.|Angemeldet bleiben|Abmelden">`.
 */
const TEXTS = {
  warning: "Are you still there?|You will be signed out soon.|Stay signed in|Sign out",
  /** Where nothing makes the session longer. */
  final: "You will be signed out soon|Save your work.|Close|Sign out",
  offline: "No connection|Trying again|Stay signed in|Sign out",
  expired: "You are signed out|Copy what you typed first.|Sign in again|Close",
  /** Said aloud. */
  seconds: "{n} seconds left",
};

/** What is said aloud comes at most this often, or nobody could hear anything else. */
const ANNOUNCE = 15_000;
/** A press that was meant for "Stay signed in" must not hit "Sign in again", which leaves the page. */
const SETTLE = 1000;

// A page's own rule for session-keepalive is stronger than :host: that is how the look is changed.
const STYLE =
  ":host{all:initial;--accent:#0f6b64;--surface:#fffdf8;--text:#20242b;--font:system-ui,sans-serif}" +
  "@media(prefers-color-scheme:dark){:host{--accent:#5ccdbf;--surface:#1b1f26;--text:#ebe8e0}}" +
  "dialog{box-sizing:border-box;width:min(25em,100% - 2em);padding:28px;border:1px solid #888;border-radius:16px;background:var(--surface);color:var(--text);font:16px/1.5 var(--font);text-align:center}" +
  "::backdrop{background:#0008}" +
  "h2,p{margin:0 0 8px;text-wrap:balance}" +
  // "Are you still there?" is one line on a screen of 320 pixels, in a wide font too.
  "h2{font-size:20px}" +
  "b{font-size:56px;font-variant-numeric:tabular-nums}" +
  "output{position:absolute;clip-path:inset(50%)}" +
  "div{display:flex;flex-wrap:wrap;gap:16px;margin-top:16px}" +
  "button{flex:1 9em;min-height:3em;border:1px solid;border-radius:99px;background:0;color:inherit;font:600 16px var(--font);cursor:pointer}" +
  // Where a system has colours of its own, a clear border is drawn in one of them.
  "button:first-child{border-color:#0000;background:var(--accent);color:var(--surface)}" +
  ":focus-visible{outline:3px solid}";

export const TAG = "session-keepalive";

/**
 * `<session-keepalive>`: warns before the session ends and says when it has; shows nothing otherwise. The module can be
 * loaded on a server, where there are no elements.
 */
export class SessionKeepAliveElement extends (IS_SERVED ? HTMLElement : (globalThis.HTMLElement ?? Object)) {
  /** In the served file, what all elements follow. */
  declare static shared: SessionKeepAlive | undefined;

  /** The watch to follow. Without one the element starts its own, with the attributes `endpoints` and `warn-before-ms`. */
  declare keepAlive: SessionKeepAlive | undefined;
  #own: SessionKeepAlive | undefined;
  #render: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;

  connectedCallback(): void {
    // Frameworks set properties after they have put the element in its place.
    queueMicrotask(() => {
      if (!this.isConnected || this.#unsubscribe) return;
      const keepAlive = IS_SERVED ? SessionKeepAliveElement.shared! : (this.keepAlive ??
          (this.#own ??= createSessionKeepAlive({
            endpoints: this.getAttribute("endpoints") ?? undefined,
            warnBeforeMs: Number(this.getAttribute("warn-before-ms")) || undefined,
          })));
      this.#unsubscribe = keepAlive.subscribe((this.#render ??= this.#build(keepAlive)));
      this.#render();
      if (!IS_SERVED) void this.#own?.start();
    });
  }

  disconnectedCallback(): void {
    this.#unsubscribe = this.#unsubscribe?.() as undefined;
    if (!IS_SERVED) this.#own?.stop();
  }

  #build(keepAlive: SessionKeepAlive): () => void {
    // No markup in strings and no style attributes: a strict CSP, with trusted types too, has nothing to refuse.
    const make = <K extends keyof HTMLElementTagNameMap>(id: K) => Object.assign(document.createElement(id), { id });
    const dialog = make("dialog");
    const title = make("h2");
    const clock = make("b");
    const text = make("p");
    const live = make("output");
    const row = make("div");
    const first = make("button");
    const second = make("button");
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    dialog.setAttribute("aria-labelledby", "h2");
    dialog.setAttribute("aria-describedby", "p");
    clock.ariaHidden = "true";
    row.append(first, second);
    dialog.append(title, clock, text, live, row);
    root.append(dialog);

    let mode: "" | "warning" | "final" | "offline" | "expired" = "";
    let isDismissed = false;
    let changedAt = 0;
    let saidAt = 0;

    const words = (key: keyof typeof TEXTS) => this.getAttribute(key) ?? TEXTS[key];
    const render = () => {
      const { state, remainingMs, final } = keepAlive.getSnapshot();
      const now = Date.now();
      const was = mode;
      const isWarning = state === "warning";
      // Offline: who sees no warning is not bothered.
      mode = isWarning && final ? "final" : isWarning || state === "expired" || (state === "offline" && was && !isDismissed) ? state : "";
      if (mode !== was) {
        isDismissed = false;
        changedAt = now;
        // The first words wait for the title to be read.
        saidAt = now - ANNOUNCE + SETTLE;
      }
      if (!mode || isDismissed) return dialog.close();
      const seconds = Math.ceil(remainingMs / 1000);
      clock.textContent = isWarning ? `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}` : "";
      words(mode)
        .split("|")
        .map((word, i) => ([title, text, first, second][i]!.textContent = word));
      if (!dialog.open) dialog.showModal();
      else if (!isWarning) live.textContent = text.textContent;
      else if (now - saidAt >= ANNOUNCE) {
        saidAt = now;
        live.textContent = words("seconds").replace("{n}", `${seconds}`);
      }
    };
    // The server shows whoever has no session what is to be shown: a login.
    const leave = () => location.reload();
    const dismiss = () => {
      isDismissed = true;
      render();
    };
    first.onclick = () => {
      if (mode === "final") dismiss();
      else if (mode !== "expired") void keepAlive.extend();
      else if (Date.now() - changedAt > SETTLE) leave();
    };
    second.onclick = async () => {
      if (mode === "expired") dismiss();
      else if (await keepAlive.logout()) leave();
    };
    // Escape: stay, or close what cannot be helped.
    dialog.oncancel = (event) => {
      event.preventDefault();
      (mode === "expired" ? second : first).click();
    };
    // Browsers close on the second Escape whatever the page says.
    dialog.onclose = render;
    return render;
  }
}

try {
  customElements.define(TAG, SessionKeepAliveElement);
} catch {
  // On a server, or the served file has been here before.
}
