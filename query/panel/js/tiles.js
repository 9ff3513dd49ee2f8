// The key figures of a summary, which the API worked out over all its runs, with a drawing over the newest of them.
import { el, show } from "./dom.js";
import { cost, count, rate, span } from "./figures.js";
import { compact, duration, many, text } from "./format.js";
import { bars, line, strip } from "./sparkline.js";

const SPARK_RUNS = 40;

// Each tile has a figure and a line beside it, both from the summary, and a drawing of the runs.
const tiles = [
  {
    name: "costUSD",
    label: "Cost",
    figure: (s) => cost(s),
    aside: (s) => (s.costComplete ? (s.runs ? perRun(s) : "") : "some costs are not known"),
    spark: (runs) =>
      bars(
        runs.map((run) => run.costUSD),
        "Cost of the newest runs",
      ),
  },
  {
    name: "successRate",
    label: "Success rate",
    figure: (s) => rate(s.successRate),
    aside: (s) => `${text(compact(s.agentsSuccessful))} succeeded, ${text(compact(s.agentsFailed))} failed`,
    spark: (runs) =>
      line(
        runs.map((run) => run.successRate),
        "Success rate of the newest runs",
      ),
  },
  {
    name: "latencyP95Ms",
    label: "Latency, p95",
    figure: (s) => span(s.latencyP95Ms),
    aside: (s) =>
      s.latencyUnknownRuns
        ? `not known of ${many(s.latencyUnknownRuns, "run")}`
        : s.latencyAgents
          ? `p99 ${text(duration(s.latencyP99Ms))}`
          : "",
    spark: (runs) =>
      line(
        runs.map((run) => run.latencyP95Ms),
        "p95 latency of the newest runs",
      ),
  },
  {
    name: "latencyAvgMs",
    label: "Latency, average",
    figure: (s) => span(s.latencyAvgMs),
    aside: (s) => (s.latencyAgents ? `over ${text(compact(s.latencyAgents))} agents` : ""),
    spark: (runs) =>
      line(
        runs.map((run) => run.latencyAvgMs),
        "Average latency of the newest runs",
      ),
  },
  {
    name: "tokens",
    label: "Tokens in / out",
    figure: (s) => [
      count(s.tokensIn, "tokens in"),
      el("span", { class: "unit" }, " / "),
      count(s.tokensOut, "tokens out"),
    ],
    aside: (s) => `${text(compact(s.executions ?? 0))} executions`,
    spark: (runs) =>
      bars(
        runs.map((run) => run.tokensIn + run.tokensOut),
        "Tokens of the newest runs",
      ),
  },
  {
    name: "agentsRunning",
    label: "Agents running",
    figure: (s) => count(s.agentsRunning, "agents"),
    aside: (s) => `of ${text(compact(s.agentsTotal))} agents`,
    spark: (runs) =>
      bars(
        runs.map((run) => run.agentsTotal),
        "Agents of the newest runs",
      ),
  },
  {
    name: "runs",
    label: "Runs",
    figure: (s) => count(s.runs, "runs"),
    aside: (s) =>
      [
        [s.runsRunning, "running"],
        [s.runsStalled, "stalled"],
        [s.runsFailed, "failed"],
        [s.runsCancelled, "cancelled"],
      ]
        .filter(([n]) => n)
        .map(([n, word]) => `${text(compact(n))} ${word}`)
        .join(", ") || (s.runs ? "all completed" : ""),
    spark: (runs) =>
      strip(
        runs.map((run) => run.status),
        "Statuses of the newest runs",
      ),
  },
];

function perRun(s) {
  return `over ${text(compact(s.runs))} ${s.runs === 1 ? "run" : "runs"}`;
}

// Tiles is the band of them.
export class Tiles {
  root = el("section", { class: "tiles", "aria-label": "Key figures", "aria-busy": "true" });
  #parts = new Map();

  constructor() {
    for (const { name, label } of tiles) {
      const part = {
        figure: el("div", { class: "figure", "data-figure": name }),
        aside: el("div", { class: "aside" }),
        spark: el("div", { class: "spark-box" }),
      };
      this.#parts.set(name, part);
      this.root.append(
        el("div", { class: `tile tile-${name}` }, el("h2", {}, label), part.figure, part.aside, part.spark),
      );
    }
  }

  // summary shows the figures. The address that they came from stays with them.
  summary(summary, url) {
    this.root.dataset.source = url;
    this.root.setAttribute("aria-busy", "false");
    this.root.classList.remove("outdated");
    for (const { name, figure: shown, aside } of tiles) {
      const part = this.#parts.get(name);
      show(part.figure, shown(summary));
      show(part.aside, aside(summary));
      part.aside.title = part.aside.textContent;
    }
  }

  // outdated says that the figures belong to other filters than those that are set.
  outdated() {
    this.root.classList.add("outdated");
  }

  // runs draws the newest of them, given newest first.
  runs(records) {
    const newest = records.slice(0, SPARK_RUNS).reverse();
    for (const { name, spark } of tiles) show(this.#parts.get(name).spark, spark(newest));
  }
}
