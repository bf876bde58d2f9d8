import { createSessionKeepAlive } from "./keepalive.js";
const TEXTS = {
  "warning-title": "Are you still there?",
  "warning-text": "You will be signed out when the time is up.",
  "time-left": "{time} left",
  "final-text": "This session cannot be made longer. Save your work before the time is up.",
  "offline-text": "The server cannot be reached. Trying again.",
  "expired-title": "You are signed out",
  "expired-text": "Sign in again to go on. What you have typed on this page is lost then, so copy it first.",
  "stay": "Stay signed in",
  "sign-out": "Sign out",
  "sign-in": "Sign in again",
  "close": "Close"
};
const ANNOUNCE = 15e3;
const SETTLE = 1e3;
const STYLE = `
:host{all:initial}
dialog{--a:var(--session-accent,#0f6b64);--o:var(--session-on-accent,#fff);--s:var(--session-surface,#fffdf8);--t:var(--session-text,#20242b);--m:var(--session-muted,#5b616c);--l:var(--session-line,#dcd8cd)}
@media(prefers-color-scheme:dark){dialog{--a:var(--session-accent,#5ccdbf);--o:var(--session-on-accent,#10211f);--s:var(--session-surface,#1b1f26);--t:var(--session-text,#ebe8e0);--m:var(--session-muted,#a6acb7);--l:var(--session-line,#3a414c)}}
dialog{box-sizing:border-box;width:min(26rem,100vw - 2rem);padding:1.75rem;border:1px solid var(--l);border-radius:var(--session-radius,18px);background:var(--s);color:var(--t);font:16px/1.5 var(--session-font,system-ui,sans-serif);text-align:center;box-shadow:0 24px 64px #0005}
dialog::backdrop{background:var(--session-backdrop,#0b0e1499)}
h2{margin:0 0 .5rem;font-size:1.375rem;line-height:1.25;text-wrap:balance}
p{margin:0;color:var(--m);text-wrap:pretty}
svg{display:block;width:7.5rem;margin:0 auto 1.25rem;fill:none;stroke:var(--l);stroke-width:3}
circle+circle{stroke:var(--a);stroke-linecap:round;transform:rotate(-90deg);transform-origin:50% 50%}
text{fill:var(--t);stroke:none;font:600 .625rem var(--session-font,system-ui,sans-serif);font-variant-numeric:tabular-nums;text-anchor:middle}
div{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}
button{flex:1 1 9rem;min-height:2.75rem;padding:.4rem 1rem;border:1.5px solid var(--m);border-radius:99px;background:none;color:inherit;font:inherit;font-weight:600;cursor:pointer}
button:first-child{border-color:var(--a);background:var(--a);color:var(--o)}
button:hover{filter:brightness(1.1)}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
output{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
[hidden]{display:none}
@media(prefers-reduced-motion:no-preference){dialog[open]{animation:i .2s}circle{transition:stroke-dashoffset 1s linear}@keyframes i{from{opacity:0;translate:0 8px}}}
`;
const Base = typeof HTMLElement === "undefined" ? Object : HTMLElement;
const TAG = "session-keepalive";
class SessionKeepAliveElement extends Base {
  /** What elements follow that are given no watch of their own. */
  static shared;
  /** The watch to follow. Without one the element starts its own, with the attributes `endpoints` and `warn-before-ms`. */
  keepAlive;
  texts = {};
  #own;
  #unsubscribe;
  #render;
  connectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected || this.#unsubscribe) return;
      const keepAlive = this.keepAlive ?? SessionKeepAliveElement.shared ?? (this.#own ??= createSessionKeepAlive({
        endpoints: this.getAttribute("endpoints") ?? void 0,
        warnBeforeMs: Number(this.getAttribute("warn-before-ms")) || void 0
      }));
      void this.#own?.start();
      this.#render ??= this.#build(keepAlive);
      this.#unsubscribe = keepAlive.subscribe(this.#render);
      this.#render();
    });
  }
  disconnectedCallback() {
    this.#unsubscribe?.();
    this.#unsubscribe = void 0;
    this.#own?.stop();
  }
  #text(key) {
    return this.texts[key] ?? this.getAttribute(key) ?? TEXTS[key];
  }
  /** "1 minute 45 seconds" in the language of the page. */
  #inWords(seconds) {
    const minutes = Math.floor(seconds / 60);
    const unit = (count, unit2) => {
      const style = { style: "unit", unit: unit2, unitDisplay: "long" };
      try {
        return count.toLocaleString(this.closest("[lang]")?.lang || void 0, style);
      } catch {
        return count.toLocaleString(void 0, style);
      }
    };
    const parts = minutes ? [unit(minutes, "minute")] : [];
    if (seconds % 60 || !minutes) parts.push(unit(seconds % 60, "second"));
    return parts.join(" ");
  }
  #build(keepAlive) {
    const make = (name, attributes = {}, ...children) => {
      const isDrawn = "svg circle text".includes(name);
      const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
      for (const key in attributes) element.setAttribute(key, attributes[key]);
      element.append(...children);
      return element;
    };
    const circle = { cx: "20", cy: "20", r: "18", pathLength: "100", "stroke-dasharray": "100" };
    const ring = make("circle", circle);
    const clock = make("text", { x: "20", y: "23.5" });
    const face = make("svg", { viewBox: "0 0 40 40", "aria-hidden": "true" }, make("circle", circle), ring, clock);
    const title = make("h2", { id: "title" });
    const text = make("p", { id: "text" });
    const live = make("output");
    const first = make("button");
    const second = make("button");
    const dialog = make(
      "dialog",
      { role: "alertdialog", "aria-labelledby": "title", "aria-describedby": "text" },
      face,
      title,
      text,
      live,
      make("div", {}, first, second)
    );
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(dialog);
    let mode = "";
    let isDismissed = false;
    let changedAt = 0;
    let saidAt = 0;
    let whole = 0;
    const render = () => {
      const { state, remainingMs, final } = keepAlive.getSnapshot();
      const now = Date.now();
      const was = mode;
      mode = state === "warning" ? final ? "final" : state : state === "expired" || state === "offline" && dialog.open ? state : "";
      const isOver = mode === "expired";
      const isCounting = state === "warning";
      if (mode !== was) {
        isDismissed = false;
        changedAt = now;
        saidAt = now - ANNOUNCE + SETTLE;
        whole = remainingMs;
      }
      if (!mode || isDismissed) {
        dialog.close();
        return;
      }
      const seconds = Math.ceil(remainingMs / 1e3);
      ring.setAttribute("stroke-dashoffset", `${100 - 100 * remainingMs / whole || 0}`);
      clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      face.toggleAttribute("hidden", !isCounting);
      title.textContent = this.#text(isOver ? "expired-title" : "warning-title");
      text.textContent = this.#text(`${mode}-text`);
      first.textContent = this.#text(isOver ? "sign-in" : mode === "final" ? "close" : "stay");
      second.textContent = this.#text(isOver ? "close" : "sign-out");
      if (!dialog.open) dialog.showModal();
      if (!isCounting) live.textContent = was && mode !== was ? text.textContent : live.textContent;
      else if (now - saidAt >= ANNOUNCE) {
        saidAt = now;
        live.textContent = this.#text("time-left").replace("{time}", this.#inWords(seconds));
      }
    };
    const dismiss = () => {
      isDismissed = true;
      render();
    };
    const leave = () => {
      const url = this.getAttribute("login-url");
      if (url) location.assign(url);
      else location.reload();
    };
    const stay = () => mode === "final" ? dismiss() : void keepAlive.extend();
    first.onclick = () => {
      if (mode !== "expired") stay();
      else if (Date.now() - changedAt > SETTLE) leave();
    };
    second.onclick = async () => {
      if (mode === "expired") dismiss();
      else if (await keepAlive.logout()) leave();
    };
    dialog.oncancel = (event) => {
      event.preventDefault();
      if (mode === "expired") dismiss();
      else stay();
    };
    dialog.onclose = render;
    return render;
  }
}
if (typeof customElements !== "undefined" && !customElements.get(TAG)) customElements.define(TAG, SessionKeepAliveElement);
export {
  SessionKeepAliveElement,
  TAG
};
