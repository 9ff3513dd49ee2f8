// When each agent of a run worked. Only the lanes that are in sight are drawn: there may be ten thousand.
import { arrange, el, place, show } from "./dom.js";
import { duration, many, text } from "./format.js";
import { plain, untrusted } from "./text.js";

const LANE = 20;
const MARGIN = 6; // lanes that are drawn beyond each edge
const SCALE = 24;

// spanOf is when an agent's final execution began and ended, in milliseconds; its end is null while it runs.
function spanOf(agent) {
  const ended = agent.finishedAt ?? (agent.status === "running" ? null : agent.occurredAt);
  const end = ended === null ? null : Date.parse(ended);
  const began = agent.startedAt
    ? Date.parse(agent.startedAt)
    : end === null
      ? Date.parse(agent.occurredAt)
      : end - (agent.latencyMs ?? 0);
  return { agent, began: end === null ? began : Math.min(began, end), end };
}

// roundStep is a step of the scale that people count in, at least as long as asked for.
function roundStep(ms) {
  const steps = [60e3, 120e3, 300e3, 600e3, 1200e3, 1800e3, 3600e3, 2 * 3600e3, 6 * 3600e3, 12 * 3600e3, 86_400e3];
  if (ms > 30e3) return steps.find((step) => step >= ms) ?? Math.ceil(ms / 86_400e3) * 86_400e3;
  const power = 10 ** Math.floor(Math.log10(ms));
  return [1, 2, 5, 10].find((lead) => lead * power >= ms) * power;
}

export class Timeline {
  root;
  #note = el("span", { class: "quiet" });
  #scale = el("div");
  #space = el("div", { class: "timeline-space" });
  #box;
  #lanes = []; // sorted by begin
  #from = 0;
  #to = 1;
  #drawn = new Map(); // index → lane
  #frame = 0;

  constructor() {
    this.#box = el(
      "div",
      { class: "timeline", tabindex: "0", role: "region", "aria-label": "Time line of agents" },
      el("div", { class: "scale", "aria-hidden": "true" }, this.#scale),
      this.#space,
    );
    this.#box.addEventListener("scroll", () => {
      this.#frame ||= requestAnimationFrame(() => this.#drawLanes());
    });
    const swatch = (status, words) =>
      el("span", {}, el("span", { class: "lane-key" }, el("i", { class: status })), words);
    this.root = el(
      "section",
      { class: "panel", "aria-label": "Time line" },
      el(
        "header",
        {},
        el("h2", {}, "Time line"),
        this.#note,
        el(
          "span",
          { class: "key end" },
          swatch("succeeded", "succeeded"),
          swatch("failed", "failed"),
          swatch("cancelled", "cancelled"),
          swatch("running", "running"),
        ),
      ),
      this.#box,
    );
  }

  // draw shows when agents worked; those that run reach to now.
  draw(agents, now, { part }) {
    this.#lanes = agents.map(spanOf).sort((a, b) => a.began - b.began);
    this.#from = this.#lanes.reduce((first, { began }) => Math.min(first, began), Infinity);
    this.#to = Math.max(
      this.#from + 1,
      this.#lanes.reduce((last, { end }) => Math.max(last, end ?? now), 0),
    );
    place(this.#space, { height: `${this.#lanes.length * LANE}px` });
    show(
      this.#note,
      this.#lanes.length === 0
        ? "No agent is known."
        : `${many(this.#lanes.length, "agent")}${part ? ", as far as they are loaded" : ""}, ${text(duration(this.#to - this.#from))}`,
    );
    this.#drawScale();
    this.#drawn.clear();
    this.#drawLanes();
  }

  #drawScale() {
    if (this.#lanes.length === 0) return void show(this.#scale);
    const length = this.#to - this.#from;
    const step = roundStep(length / (this.#box.clientWidth < 500 ? 3 : 6));
    const times = Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
    show(
      this.#scale,
      times.map((ms) =>
        place(el("span", { class: ms / length > 0.93 ? "end" : null }, ms === 0 ? "0" : text(duration(ms))), {
          left: `${(100 * ms) / length}%`,
        }),
      ),
    );
  }

  #drawLanes() {
    this.#frame = 0;
    const first = Math.max(0, Math.floor((this.#box.scrollTop - SCALE) / LANE) - MARGIN);
    const last = Math.min(
      this.#lanes.length,
      Math.ceil((this.#box.scrollTop + (this.#box.clientHeight || 250)) / LANE) + MARGIN,
    );
    const lanes = new Map();
    for (let index = first; index < last; index++) lanes.set(index, this.#drawn.get(index) ?? this.#lane(index));
    this.#drawn = lanes;
    arrange(this.#space, [...lanes.values()]);
  }

  #lane(index) {
    const { agent, began, end } = this.#lanes[index];
    const share = (ms) => (100 * (ms - this.#from)) / (this.#to - this.#from);
    const stop = end ?? this.#to;
    const words = `${plain(agent.agentName ?? agent.agentId)}: ${agent.status}, ${text(duration(stop - began))}${agent.attempts > 1 ? `, attempt ${agent.attempts}` : ""}`;
    return place(
      el(
        "div",
        { class: "lane", title: words },
        el("span", { class: "who" }, untrusted(agent.agentId)),
        el(
          "span",
          { class: "track" },
          place(el("i", { class: agent.status }), {
            left: `${share(began)}%`,
            width: `${share(stop) - share(began)}%`,
          }),
        ),
        el("span", { class: "unseen" }, words),
      ),
      { top: `${index * LANE}px` },
    );
  }
}
