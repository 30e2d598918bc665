/*
 * <cometchat-status>: a light that shows the state of the application's connection to CometChat.
 *
 *   <cometchat-status src="/cometchat/events" status-src="/cometchat/status"></cometchat-status>
 *
 * Attributes: src (server-sent events), status-src (the same as JSON, where there is no stream), poll (seconds between
 * requests of the JSON, 3), compact (the dot alone; the words stay for screen readers), theme ("light" or "dark", in place
 * of the page's color-scheme), label, text-connected, text-connecting, text-disconnected, text-feature-throttled,
 * text-no-contact, text-waiting.
 * The tabs of a browser share one stream: one visible tab has it, and tells the others over a BroadcastChannel.
 * Properties: status, since, reason, user. Event: statuschange, whose detail has the same, and previous.
 * CSS: the custom properties --cometchat-status-*, the parts base, dot, label and text, and the attribute "status".
 * Needs nothing of a Content-Security-Policy but script-src and connect-src for its own origin.
 */
(() => {
  "use strict";

  const NO_CONTACT = "noContact";
  const WAITING = "waiting";
  const UNKNOWN = { status: WAITING, since: null, reason: null, user: null };

  const WORDS = {
    connected: ["text-connected", "Connected"],
    connecting: ["text-connecting", "Connecting\u2026"],
    disconnected: ["text-disconnected", "Disconnected"],
    featureThrottled: ["text-feature-throttled", "Connected, some features are off"],
    noContact: ["text-no-contact", "No contact with the app"],
    waiting: ["text-waiting", "Checking\u2026"],
  };
  const REPORTED = ["connected", "connecting", "disconnected", "featureThrottled"];

  // Seconds.
  const SIGN_OF_LIFE = 10; // between two of them, until the stream says its own
  const PATIENCE = 2.5; // as many of these without one: no contact
  const ANSWER = 5; // for the JSON, and for the first sign of life of a stream
  const POLL = 3;
  const LONGEST_POLL = 86400; // a browser's timer takes a wait of over 24 days for none
  const FIRST_WAIT = 0.5; // after the first failure; twice as long after each
  const LONGEST_WAIT = 8;
  const LONGEST_WITHOUT_STREAM = 60; // while the JSON answers, a stream is tried again this seldom
  const ELECTION = 0.1; // for an answer of the tab that leads
  const BEAT = 2; // between two messages of the tab that leads; after PATIENCE of them another tab takes over

  const supportsSheets = "adoptedStyleSheets" in Document.prototype && "replaceSync" in CSSStyleSheet.prototype;

  /*
   * The tabs of this browser that show the same addresses. One of them leads: it alone asks the application, and posts
   * what it shows. A tab that is hidden or left resigns. Of two tabs that lead, the one with the lower id stays.
   */
  class Tabs {
    constructor(name, feed) {
      this.name = name;
      this.feed = feed;
      this.id = `${Date.now()}-${Math.random()}`;
      this.leads = false;
      this.channel = null;
    }

    get supported() { return "BroadcastChannel" in window; }

    open() {
      if (this.channel || !this.supported) return;
      this.channel = new BroadcastChannel(this.name);
      this.channel.onmessage = (event) => this.receive(event.data || {});
    }

    lead() {
      this.leads = true;
      this.post("state");
      clearInterval(this.beat);
      this.beat = setInterval(() => this.post("state"), BEAT * 1000);
    }

    resign() {
      this.leads = false;
      clearInterval(this.beat);
    }

    close() {
      if (this.leads) this.post("bye");
      this.resign();
      if (this.channel) this.channel.close();
      this.channel = null;
    }

    post(kind) {
      if (this.channel) this.channel.postMessage({ kind, id: this.id, report: this.feed.report });
    }

    receive({ kind, id, report }) {
      if (kind === "who" || (kind === "state" && this.leads && this.id < id)) {
        if (this.leads) this.post("state");
      } else if (kind === "state" && report && report.status in WORDS) {
        this.resign();
        this.feed.follow(report);
      } else if (kind === "bye" && !this.leads) {
        this.feed.later(Math.random() * ELECTION, () => this.feed.elect());
      }
    }
  }

  /* One for each pair of addresses, however many elements of the page show it. */
  class Feed {
    constructor(key, src, statusSrc) {
      this.src = src;
      this.statusSrc = statusSrc;
      this.elements = new Set();
      this.report = UNKNOWN;
      this.running = false;
      this.limit = SIGN_OF_LIFE * PATIENCE;
      this.tabs = new Tabs(`cometchat-status ${key}`, this);
      this.onVisibility = () => (document.hidden ? this.rest() : this.wake());
      this.onOnline = () => this.wake();
      this.onShow = (event) => event.persisted && this.wake(); // back from the browser's cache of pages
      this.onHide = () => this.rest();
    }

    add(element) {
      this.elements.add(element);
      if (this.elements.size === 1) {
        document.addEventListener("visibilitychange", this.onVisibility);
        window.addEventListener("online", this.onOnline);
        window.addEventListener("pageshow", this.onShow);
        window.addEventListener("pagehide", this.onHide);
        this.failures = this.refusals = this.streamAt = 0;
        this.limit = SIGN_OF_LIFE * PATIENCE;
        this.running = true;
        this.wake();
      }
    }

    remove(element) {
      this.elements.delete(element);
      if (this.elements.size === 0) {
        document.removeEventListener("visibilitychange", this.onVisibility);
        window.removeEventListener("online", this.onOnline);
        window.removeEventListener("pageshow", this.onShow);
        window.removeEventListener("pagehide", this.onHide);
        this.running = false;
        this.rest();
        this.report = UNKNOWN;
      }
    }

    /* A page that is hidden or left runs no timer and holds no stream: another tab takes over. */
    rest() {
      clearTimeout(this.timer);
      this.drop();
      this.tabs.close();
    }

    wake() {
      if (!this.running || document.hidden || this.asking || (this.source && !this.heardAt)) return;
      if (this.heardAt && performance.now() - this.heardAt < this.limit * 1000) {
        this.watch();
      } else {
        this.elect();
      }
    }

    drop() {
      clearTimeout(this.watchdog);
      if (this.source) this.source.close();
      if (this.asking) this.asking.abort();
      this.source = this.asking = null;
      this.heardAt = 0;
    }

    later(seconds, act) {
      clearTimeout(this.timer);
      if (this.running && !document.hidden) this.timer = setTimeout(act, seconds * 1000);
    }

    /* Doubles with each failure; a random half of it, so that the pages of a site do not come back at once. */
    wait(failures, longest) {
      return Math.min(longest, FIRST_WAIT * 2 ** Math.min(failures, 30)) * (0.5 + Math.random() / 2);
    }

    // --- the other tabs

    /* Follow the tab that leads, or lead. */
    elect() {
      this.drop();
      this.tabs.open();
      if (this.tabs.leads || !this.tabs.channel) {
        this.open();
        return;
      }
      this.tabs.post("who");
      this.later(ELECTION, () => {
        this.limit = SIGN_OF_LIFE * PATIENCE; // until the stream says its own
        this.tabs.lead();
        this.open();
      });
    }

    follow(report) {
      clearTimeout(this.timer);
      this.drop();
      this.heardAt = performance.now();
      this.limit = BEAT * PATIENCE;
      if (report.status !== WAITING) this.show(report);
      this.watch();
    }

    // --- the stream

    open() {
      clearTimeout(this.timer);
      this.drop();
      const shared = this.tabs.supported || !this.statusSrc; // a stream for each tab would take all connections
      if (!this.src || !shared || !("EventSource" in window)) {
        this.ask();
        return;
      }
      const source = (this.source = new EventSource(this.src));
      const heard = (act) => (event) => {
        if (source !== this.source) return;
        this.heardAt = performance.now();
        this.failures = this.refusals = this.streamAt = 0;
        act(event.data);
        this.tabs.post("state");
        this.watch();
      };
      source.addEventListener("status", heard((data) => this.take(data)));
      source.addEventListener("alive", heard((data) => {
        const seconds = Number(data);
        if (seconds > 0 && seconds < 3600) this.limit = seconds * PATIENCE;
      }));
      source.addEventListener("error", () => {
        if (source === this.source) this.lost(source.readyState === EventSource.CLOSED);
      });
      this.watch();
    }

    /* The server ends each stream after a while: the next one is opened before anything is shown. */
    lost(refused) {
      const wasOpen = this.heardAt > 0;
      this.drop();
      if (wasOpen) {
        this.later(0.05 + Math.random() / 5, () => this.open());
      } else {
        if (refused) this.refusals += 1;
        this.ask();
      }
    }

    watch() {
      clearTimeout(this.watchdog);
      if (document.hidden) return;
      const unheard = this.source && !this.heardAt; // a proxy may keep the stream back
      const silent = () => (unheard ? this.lost(true) : this.source ? this.fail() : this.elect());
      this.watchdog = setTimeout(silent, (unheard ? ANSWER : this.limit) * 1000);
    }

    // --- the JSON, where there is no stream

    async ask() {
      if (!this.statusSrc) {
        this.fail();
        return;
      }
      const asking = (this.asking = new AbortController());
      const timeout = setTimeout(() => asking.abort(), ANSWER * 1000);
      let text = null;
      try {
        const answer = await fetch(this.statusSrc, { cache: "no-store", signal: asking.signal });
        if (answer.ok) text = await answer.text();
      } catch (error) {
        text = null; // no answer
      }
      clearTimeout(timeout);
      if (asking !== this.asking) return;
      this.asking = null;
      if (text === null || !this.take(text)) {
        this.fail();
        return;
      }
      this.failures = 0;
      this.tabs.post("state");
      if (!this.streamAt) {
        this.streamAt = performance.now() + this.wait(this.refusals + 2, LONGEST_WITHOUT_STREAM) * 1000;
      }
      this.later(this.poll() * (0.9 + Math.random() / 5), () => {
        if (this.src && performance.now() >= this.streamAt) {
          this.streamAt = 0;
          this.open();
        } else {
          this.ask();
        }
      });
    }

    poll() {
      const wanted = [...this.elements].map((element) => Number(element.getAttribute("poll"))).filter((s) => s > 0);
      return wanted.length ? Math.min(LONGEST_POLL, Math.max(0.25, Math.min(...wanted))) : POLL;
    }

    fail() {
      this.drop();
      this.streamAt = 0;
      this.show({ status: NO_CONTACT, since: new Date().toISOString(), reason: null, user: null });
      this.tabs.post("state");
      this.later(this.wait(this.failures, LONGEST_WAIT), () => this.open());
      this.failures += 1;
    }

    // --- the result

    take(text) {
      let report;
      try {
        report = JSON.parse(text);
      } catch (error) {
        return false; // not the application's JSON but, for example, a login page
      }
      if (!report || !REPORTED.includes(report.status)) return false;
      this.show(report);
      return true;
    }

    show(report) {
      if (report.status === NO_CONTACT && this.report.status === NO_CONTACT) return;
      const { status, since = null, reason = null, user = null } = report;
      this.report = { status, since, reason, user };
      for (const element of [...this.elements]) element.show(this.report);
    }
  }

  const feeds = new Map();

  function feedOf(src, statusSrc) {
    const key = JSON.stringify([src, statusSrc]);
    if (!feeds.has(key)) feeds.set(key, new Feed(key, src, statusSrc));
    return feeds.get(key);
  }

  // Each state has a shape of its own, for people who see no difference between the colours.
  const STYLE = `
    :host { display: inline-block; vertical-align: middle; max-inline-size: 100%; }
    :host([hidden]) { display: none; }
    :host([theme="light"]) { color-scheme: light; }
    :host([theme="dark"]) { color-scheme: dark; }
    [part="base"] {
      --ink: #1f2328; --paper: #f6f8fa; --line: #d0d7de; --dot: #57606a;
      display: inline-flex; align-items: center; gap: var(--cometchat-status-gap, 0.5em);
      box-sizing: border-box; max-inline-size: 100%;
      padding: var(--cometchat-status-padding, 0.3em 0.75em 0.3em 0.6em);
      border: 1px solid var(--cometchat-status-border, var(--line));
      border-radius: var(--cometchat-status-radius, 999px);
      background: var(--cometchat-status-background, var(--paper));
      color: var(--cometchat-status-color, var(--ink));
      font: var(--cometchat-status-font, 500 0.875rem/1.25 system-ui, sans-serif);
    }
    .connected { --dot: var(--cometchat-status-connected, #1a7f37); --paper: #f0fbf3; --line: #b4dfc1; --ink: #11532a; }
    .connecting { --dot: var(--cometchat-status-connecting, #9a6700); --paper: #fff9e6; --line: #ecd591; --ink: #6b4700; }
    .disconnected { --dot: var(--cometchat-status-disconnected, #cf222e); --paper: #fff2f1; --line: #f5c0bd; --ink: #8f1620; }
    .featureThrottled { --dot: var(--cometchat-status-feature-throttled, #0969da); --paper: #eff7ff; --line: #b3d6fb; --ink: #0a478f; }
    .noContact { --dot: var(--cometchat-status-no-contact, #57606a); }
    @supports (color: light-dark(#000, #fff)) {
      [part="base"] {
        --ink: light-dark(#1f2328, #e6edf3); --paper: light-dark(#f6f8fa, #1c2128);
        --line: light-dark(#d0d7de, #444c56); --dot: light-dark(#57606a, #a5b0bb);
      }
      .connected {
        --dot: var(--cometchat-status-connected, light-dark(#1a7f37, #3fb950));
        --paper: light-dark(#f0fbf3, #12261a); --line: light-dark(#b4dfc1, #24583a); --ink: light-dark(#11532a, #a6e9b9);
      }
      .connecting {
        --dot: var(--cometchat-status-connecting, light-dark(#9a6700, #e3b341));
        --paper: light-dark(#fff9e6, #2a2110); --line: light-dark(#ecd591, #64501d); --ink: light-dark(#6b4700, #f2d684);
      }
      .disconnected {
        --dot: var(--cometchat-status-disconnected, light-dark(#cf222e, #ff7b72));
        --paper: light-dark(#fff2f1, #2d1619); --line: light-dark(#f5c0bd, #6e2a2e); --ink: light-dark(#8f1620, #ffb8b2);
      }
      .featureThrottled {
        --dot: var(--cometchat-status-feature-throttled, light-dark(#0969da, #6cb6ff));
        --paper: light-dark(#eff7ff, #12213a); --line: light-dark(#b3d6fb, #264a7a); --ink: light-dark(#0a478f, #b6d9ff);
      }
      .noContact { --dot: var(--cometchat-status-no-contact, light-dark(#57606a, #a5b0bb)); }
    }
    [part="dot"] {
      flex: none; box-sizing: border-box; color: var(--dot);
      inline-size: var(--cometchat-status-dot-size, 0.625rem); block-size: var(--cometchat-status-dot-size, 0.625rem);
      border: 2px solid currentColor; border-radius: 50%;
    }
    .connected [part="dot"] { background: currentColor; }
    .connecting [part="dot"] { border-block-start-color: transparent; animation: turn 1s linear infinite; }
    .featureThrottled [part="dot"] { background: linear-gradient(to top, currentColor 50%, transparent 50%); }
    .disconnected [part="dot"] { border-radius: 2px; background: currentColor; }
    .noContact [part="dot"] { border-style: dashed; }
    .waiting [part="dot"] { opacity: 0.6; }
    [part="text"] { min-inline-size: 0; overflow-wrap: anywhere; }
    [part="label"], :host([compact]) [part="text"] {
      position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
    }
    :host([compact]) [part="base"] { padding: var(--cometchat-status-padding, 0.35em); position: relative; }
    @keyframes turn { to { transform: rotate(1turn); } }
    @media (prefers-reduced-motion: reduce) { .connecting [part="dot"] { animation: none; } }
    @media (forced-colors: active) {
      [part="base"] { border-color: CanvasText; background: Canvas; color: CanvasText; }
      [part="dot"] { forced-color-adjust: none; --dot: CanvasText; color: CanvasText; }
    }
  `;
  let sheet = null;

  function span(part, className) {
    const element = document.createElement("span");
    element.setAttribute("part", part);
    if (className) element.className = className;
    return element;
  }

  class CometChatStatus extends HTMLElement {
    static observedAttributes = ["src", "status-src", "label", ...Object.values(WORDS).map(([name]) => name)];

    #base = span("base", WAITING);
    #label = span("label");
    #text = span("text");
    #feed = null;
    #live = false;
    #report = UNKNOWN;

    constructor() {
      super();
      const shadow = this.attachShadow({ mode: "open" });
      if (supportsSheets) {
        if (!sheet) {
          sheet = new CSSStyleSheet();
          sheet.replaceSync(STYLE);
        }
        shadow.adoptedStyleSheets = [sheet];
      }
      const dot = span("dot");
      dot.setAttribute("aria-hidden", "true");
      this.#base.setAttribute("role", "status");
      this.#base.setAttribute("aria-live", "polite");
      this.#base.setAttribute("aria-atomic", "true");
      this.#base.append(dot, this.#label, this.#text);
      shadow.append(this.#base);
    }

    get status() { return this.#report.status; }
    get since() { return this.#report.since; }
    get reason() { return this.#report.reason; }
    get user() { return this.#report.user; }

    connectedCallback() {
      this.#live = true;
      this.#follow();
      this.#paint();
    }

    disconnectedCallback() {
      this.#live = false;
      this.#leave();
    }

    attributeChangedCallback(name) {
      if (!this.#live) return; // the attributes that the tag came with, before connectedCallback
      if (name === "src" || name === "status-src") this.#follow();
      else this.#paint();
    }

    #leave() {
      if (this.#feed) this.#feed.remove(this);
      this.#feed = null;
    }

    #follow() {
      this.#leave();
      const src = this.getAttribute("src");
      const statusSrc = this.getAttribute("status-src");
      if (!src && !statusSrc) return;
      this.#feed = feedOf(src, statusSrc);
      const known = this.#feed.report;
      this.#feed.add(this);
      if (known.status !== WAITING) this.show(known);
    }

    /* The feed's. */
    show(report) {
      const previous = this.#report.status;
      this.#report = report;
      this.#paint();
      if (previous === report.status) return;
      const detail = { ...report, previous };
      this.dispatchEvent(new CustomEvent("statuschange", { bubbles: true, composed: true, detail }));
    }

    #paint() {
      const { status } = this.#report;
      const [name, word] = WORDS[status];
      const text = this.getAttribute(name) || word;
      const label = this.hasAttribute("label") ? this.getAttribute("label") : "Chat:";
      if (this.#base.className !== status) this.#base.className = status;
      if (this.getAttribute("status") !== status) this.setAttribute("status", status);
      // A live region speaks at each change of its text: the same text again is not a change.
      if (this.#label.textContent !== `${label} `) this.#label.textContent = `${label} `;
      if (this.#text.textContent !== text) this.#text.textContent = text;
      const reason = this.#report.reason;
      const why = reason ? [reason.code, reason.message].filter(Boolean).join(": ") : "";
      if (this.#base.title !== why) this.#base.title = why;
    }
  }

  if (!customElements.get("cometchat-status")) customElements.define("cometchat-status", CometChatStatus);
})();
