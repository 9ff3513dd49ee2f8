// The agents of a run, as far as they are loaded; a hundred at a time are drawn.
import { arrange, el, show } from "./dom.js";
import { cost, count, span, tokens } from "./figures.js";
import { exact, many } from "./format.js";
import { status } from "./icons.js";
import { Headings, message, walk } from "./table.js";
import { untrusted } from "./text.js";

const STEP = 100;
const order = ["running", "failed", "cancelled", "succeeded"]; // what wants attention first

const columns = [
  {
    name: "status",
    label: "Status",
    key: (agent) => order.indexOf(agent.status),
    cell: (agent) => status(agent.status),
  },
  {
    name: "agent",
    label: "Agent",
    key: (agent) => agent.agentId,
    cell: (agent) => untrusted(agent.agentId, { class: "lead" }),
  },
  {
    name: "name",
    label: "Name",
    key: (agent) => agent.agentName,
    cell: (agent) => (agent.agentName ? untrusted(agent.agentName) : ""),
  },
  {
    name: "model",
    label: "Model",
    key: (agent) => agent.model,
    cell: (agent) => (agent.model ? untrusted(agent.model, { class: "quiet" }) : ""),
  },
  {
    name: "phase",
    label: "Phase",
    key: (agent) => agent.phase,
    cell: (agent) => untrusted(agent.phase, { class: "quiet" }),
  },
  {
    name: "attempts",
    label: "Attempts",
    number: true,
    key: (agent) => agent.attempts,
    cell: (agent) => count(agent.attempts),
  },
  {
    name: "latency",
    label: "Latency",
    number: true,
    key: (agent) => agent.latencyMs,
    cell: (agent) => span(agent.latencyMs, "the agent has not finished"),
  },
  {
    name: "tokens",
    label: "Tokens in / out",
    number: true,
    key: (agent) => agent.tokensIn + agent.tokensOut,
    cell: (agent) => tokens(agent),
  },
  { name: "cost", label: "Cost", number: true, key: (agent) => agent.costUSD, cell: (agent) => cost(agent) },
  {
    name: "error",
    label: "Error",
    key: (agent) => agent.error,
    cell: (agent) => (agent.error ? message(agent.error) : ""),
  },
];

export class AgentsTable {
  root;
  #body = el("tbody");
  #foot = el("div", { class: "table-foot" });
  #headings;
  #rows = new Map(); // phase and agent id → {row, seen}
  #agents = [];
  #drawn = STEP;
  #more = null; // loads further agents, null where there are none
  #total = 0;
  #endWalk;

  constructor() {
    this.#headings = new Headings(columns, { name: "agent", down: false }, () => this.#draw());
    this.root = el(
      "div",
      {},
      el(
        "div",
        { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Agents" },
        el(
          "table",
          { class: "agents" },
          el("caption", { class: "unseen" }, "Agents of the run"),
          el("thead", {}, this.#headings.row),
          this.#body,
        ),
      ),
      this.#foot,
    );
    this.#endWalk = walk(this.#body);
  }

  close() {
    this.#endWalk();
  }

  // draw shows agents; more loads further ones of a total.
  draw(agents, total, more) {
    this.#agents = agents;
    this.#total = total;
    this.#more = more;
    const kept = new Set(agents.map(keyOf));
    for (const key of this.#rows.keys()) if (!kept.has(key)) this.#rows.delete(key);
    this.#draw();
  }

  #draw() {
    if (this.#agents.length === 0) {
      show(this.#foot);
      return void show(
        this.#body,
        el("tr", {}, el("td", { class: "waiting", colspan: columns.length }, "No agent is known.")),
      );
    }
    arrange(
      this.#body,
      this.#headings
        .sorted(this.#agents)
        .slice(0, this.#drawn)
        .map((agent) => this.#row(agent)),
    );
    const left = this.#agents.length - this.#drawn;
    const button = (label, act) => el("button", { class: "button", type: "button", onclick: act }, label);
    show(
      this.#foot,
      left > 0
        ? button(`Show ${exact(Math.min(left, STEP))} more`, () => {
            this.#drawn += STEP;
            this.#draw();
          })
        : this.#more
          ? button("Load more agents", (event) => {
              event.target.disabled = true;
              this.#more();
            })
          : null,
      el(
        "span",
        {},
        `${exact(Math.min(this.#drawn, this.#agents.length))} of ${many(Math.max(this.#total, this.#agents.length), "agent")}`,
      ),
    );
  }

  #row(agent) {
    const key = keyOf(agent),
      seen = JSON.stringify(agent);
    const held = this.#rows.get(key);
    if (held?.seen === seen) return held.row;
    const row = el(
      "tr",
      { class: held ? "changed" : null, "data-key": agent.agentId },
      columns.map(({ name, number, cell }) =>
        el(
          "td",
          {
            class:
              [number && "number", ["agent", "name"].includes(name) && "name", name === "error" && "message bad"]
                .filter(Boolean)
                .join(" ") || null,
          },
          cell(agent),
        ),
      ),
    );
    this.#rows.set(key, { row, seen });
    return row;
  }
}

function keyOf(agent) {
  return JSON.stringify([agent.phase, agent.agentId]);
}
