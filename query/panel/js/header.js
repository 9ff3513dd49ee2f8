// The bar: brand, views, whether what is shown is live, how the pipeline is, and the tools.
import { el, show, svg } from "./dom.js";
import { clock, compact, exact, many, text } from "./format.js";
import { icon } from "./icons.js";
import { ask, credentials, forget, hasKey } from "./key.js";
import { lettersLink, stateLink } from "./route.js";

const views = [
  ["", "#/", "Runs"],
  ["deadletters", lettersLink(), "Dead letters"],
  ["state", stateLink, "Pipeline"],
];

// Header draws itself into the bar. It is told where one is, how the connection is, and how the pipeline is.
export class Header {
  #links;
  #letters;
  #connection;
  #pipeline;
  #tools;
  #live;
  #status = { kind: "connecting", since: null };

  constructor(bar, live) {
    this.#live = live;
    this.#letters = el("span", { class: "count" });
    this.#links = views.map(([name, href, label]) =>
      el("a", { href, "data-view": name }, label, name === "deadletters" ? this.#letters : null),
    );
    this.#connection = el("span", { class: "connection" });
    this.#pipeline = el("a", { class: "pipeline", href: stateLink });
    this.#tools = el("span", { class: "bar-tools" });
    show(
      bar,
      el(
        "a",
        { class: "brand", href: "#/", "aria-label": "runmetrics, all runs" },
        svg(
          "svg",
          { viewBox: "0 0 16 16", "aria-hidden": "true" },
          svg("rect", { width: 16, height: 16, rx: 3.5 }),
          svg("path", { d: "M3.5 12V8.5M6.5 12V5.5M9.5 12V9.5M12.5 12V3.5" }),
        ),
        el("span", {}, "runmetrics"),
      ),
      el("nav", { "aria-label": "Views" }, this.#links),
      el("div", { class: "bar-state" }, this.#pipeline, this.#connection, this.#tools),
    );
    document.addEventListener("runmetrics:key", () => this.#drawTools());
    this.#drawTools();
    this.connection(this.#status);
  }

  // at marks the view that is open.
  at(view) {
    for (const link of this.#links) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  // connection shows a status of Live.
  connection(status) {
    this.#status = status;
    const stale = status.since ? `stale since ${clock(status.since)}` : "nothing received yet";
    const [tone, image, words, more] = {
      live: ["live", null, "Live", "Changes are shown as they are committed"],
      connecting: ["quiet", "waiting", "Connecting…", ""],
      reconnecting: ["warn", "broken", `Reconnecting… ${stale}`, "What is shown may be out of date"],
      paused: ["warn", "pause", `Paused, ${stale}`, "What is shown does not change"],
      hidden: ["quiet", "pause", "Asleep", "The page is not visible"],
      locked: ["bad", "key", "Needs a key", ""],
      refused: ["bad", "key", "Key may not read", status.detail ?? ""],
    }[status.kind];
    this.#connection.className = `connection ${tone}`;
    this.#connection.dataset.kind = status.kind;
    this.#connection.title = more;
    const label =
      status.kind === "locked" || status.kind === "refused"
        ? el("button", { class: "plain", onclick: () => ask(credentials(), "") }, words)
        : el("span", {}, words);
    show(this.#connection, image ? icon(image) : el("span", { class: "pulse" }), label);
    this.#drawTools();
  }

  // pipeline shows a body of /readyz.
  pipeline(state) {
    const sum = (name) => (state.streams ?? []).reduce((total, stream) => total + (stream[name] ?? 0), 0);
    const letters = sum("deadLetters"),
      behind = sum("pending");
    show(this.#letters, letters ? text(compact(letters)) : "");
    this.#letters.title = letters ? `${many(letters, "message")} could not be applied` : "";
    const [tone, image, words] = !["active", "standby"].includes(state.state)
      ? ["warn", "alert", `Pipeline ${state.state}`]
      : behind
        ? ["quiet", "behind", `${text(compact(behind))} behind`]
        : ["quiet", "caught", "Caught up"];
    const copy = state.dataverse
      ? [
          ` · Dataverse `,
          el(
            "span",
            { class: ["active", "standby"].includes(state.dataverse.state) ? "" : "warn" },
            state.dataverse.state,
          ),
        ]
      : [];
    show(
      this.#pipeline,
      icon(image),
      el("span", {}, el("span", { class: tone }, words), copy, ` · position ${exact(sum("position"))}`),
    );
    this.#pipeline.title = [
      `${exact(sum("position"))} of ${exact(sum("lastSequence"))} messages are committed`,
      ...(state.reasons ?? []),
    ].join("\n");
  }

  #drawTools() {
    const paused = this.#live.paused;
    const dark = isDark();
    const tool = (name, label, image, pressed, act) =>
      el(
        "button",
        {
          class: "tool",
          type: "button",
          "data-tool": name,
          title: label,
          "aria-label": label,
          "aria-pressed": pressed,
          onclick: act,
        },
        icon(image),
      );
    const focused = document.activeElement?.dataset?.tool;
    show(
      this.#tools,
      hasKey() ? tool("forget", "Forget the key of this tab", "key", null, forget) : null,
      tool("pause", paused ? "Go on" : "Pause", paused ? "play" : "pause", String(paused), () =>
        this.#live.pause(!paused),
      ),
      tool("theme", dark ? "Use light colours" : "Use dark colours", dark ? "light" : "dark", null, () => {
        setTheme(dark ? "light" : "dark");
        this.#drawTools();
      }),
    );
    if (focused) this.#tools.querySelector(`[data-tool="${focused}"]`)?.focus();
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");
system.addEventListener("change", () => document.dispatchEvent(new CustomEvent("runmetrics:theme")));

function isDark() {
  return (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("runmetrics.theme", theme);
  } catch {
    /* it holds for this page */
  }
  document.dispatchEvent(new CustomEvent("runmetrics:theme"));
}
