import { IS_SERVED } from "./flavour.js";
import { createSessionKeepAlive } from "./keepalive.js";
const TEXTS = {
  warning: "Are you still there?|You will be signed out soon.|Stay signed in|Sign out",
  /** Where nothing makes the session longer. */
  final: "You will be signed out soon|Save your work.|Close|Sign out",
  offline: "No connection|Trying again|Stay signed in|Sign out",
  expired: "You are signed out|Copy what you typed first.|Sign in again|Close",
  /** Said aloud. */
  seconds: "{n} seconds left"
};
const ANNOUNCE = 15e3;
const SETTLE = 1e3;
const STYLE = ":host{all:initial;--accent:#0f6b64;--surface:#fffdf8;--text:#20242b;--font:system-ui,sans-serif}@media(prefers-color-scheme:dark){:host{--accent:#5ccdbf;--surface:#1b1f26;--text:#ebe8e0}}dialog{box-sizing:border-box;width:min(25em,100% - 2em);padding:28px;border:1px solid #888;border-radius:16px;background:var(--surface);color:var(--text);font:16px/1.5 var(--font);text-align:center}::backdrop{background:#0008}h2,p{margin:0 0 8px;text-wrap:balance}h2{font-size:20px}b{font-size:56px;font-variant-numeric:tabular-nums}output{position:absolute;clip-path:inset(50%)}div{display:flex;flex-wrap:wrap;gap:16px;margin-top:16px}button{flex:1 9em;min-height:3em;border:1px solid;border-radius:99px;background:0;color:inherit;font:600 16px var(--font);cursor:pointer}button:first-child{border-color:#0000;background:var(--accent);color:var(--surface)}:focus-visible{outline:3px solid}";
const TAG = "session-keepalive";
class SessionKeepAliveElement extends (IS_SERVED ? HTMLElement : globalThis.HTMLElement ?? Object) {
  #own;
  #render;
  #unsubscribe;
  connectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected || this.#unsubscribe) return;
      const keepAlive = IS_SERVED ? SessionKeepAliveElement.shared : this.keepAlive ?? (this.#own ??= createSessionKeepAlive({
        endpoints: this.getAttribute("endpoints") ?? void 0,
        warnBeforeMs: Number(this.getAttribute("warn-before-ms")) || void 0
      }));
      this.#unsubscribe = keepAlive.subscribe(this.#render ??= this.#build(keepAlive));
      this.#render();
      if (!IS_SERVED) void this.#own?.start();
    });
  }
  disconnectedCallback() {
    this.#unsubscribe = this.#unsubscribe?.();
    if (!IS_SERVED) this.#own?.stop();
  }
  #build(keepAlive) {
    const make = (id) => Object.assign(document.createElement(id), { id });
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
    let mode = "";
    let isDismissed = false;
    let changedAt = 0;
    let saidAt = 0;
    const words = (key) => this.getAttribute(key) ?? TEXTS[key];
    const render = () => {
      const { state, remainingMs, final } = keepAlive.getSnapshot();
      const now = Date.now();
      const was = mode;
      const isWarning = state === "warning";
      mode = isWarning && final ? "final" : isWarning || state === "expired" || state === "offline" && was && !isDismissed ? state : "";
      if (mode !== was) {
        isDismissed = false;
        changedAt = now;
        saidAt = now - ANNOUNCE + SETTLE;
      }
      if (!mode || isDismissed) return dialog.close();
      const seconds = Math.ceil(remainingMs / 1e3);
      clock.textContent = isWarning ? `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}` : "";
      words(mode).split("|").map((word, i) => [title, text, first, second][i].textContent = word);
      if (!dialog.open) dialog.showModal();
      else if (!isWarning) live.textContent = text.textContent;
      else if (now - saidAt >= ANNOUNCE) {
        saidAt = now;
        live.textContent = words("seconds").replace("{n}", `${seconds}`);
      }
    };
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
    dialog.oncancel = (event) => {
      event.preventDefault();
      (mode === "expired" ? second : first).click();
    };
    dialog.onclose = render;
    return render;
  }
}
try {
  customElements.define(TAG, SessionKeepAliveElement);
} catch {
}
export {
  SessionKeepAliveElement,
  TAG
};
