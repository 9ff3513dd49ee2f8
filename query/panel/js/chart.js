// A chart over time by uPlot, with words, and its numbers as a table.
import { el, show } from "./dom.js";
import { Figure } from "./figure.js";
import { moment } from "./format.js";
import { plain } from "./text.js";

let loading = null;

// load brings uPlot in when the first chart is drawn.
function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", {
      src: "panel/vendor/uPlot.iife.min.js",
      onload: () => resolve(window.uPlot),
      onerror: () => {
        loading = null;
        reject(new Error("the chart's code cannot be loaded"));
      },
    });
    document.head.append(el("link", { rel: "stylesheet", href: "panel/vendor/uPlot.min.css" }), script);
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// resolved is a colour as a canvas takes it: light-dark() means nothing there.
function resolved(name) {
  const probe = document.body.appendChild(el("span", { hidden: true }));
  probe.style.setProperty("color", `var(${name})`);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

// tickTime is a time on the axis, as short as its step allows.
function tickTime(seconds, step) {
  const options =
    step >= 86_400
      ? { day: "numeric", month: "short" }
      : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 && { second: "2-digit" }) };
  return new Intl.DateTimeFormat("en-GB", options).format(seconds * 1000);
}

// Chart draws series {label, tone, dash, of(run), format(number)} of runs, oldest first.
export class Chart extends Figure {
  #series;
  #zero;
  #plot = null;
  #runs = [];
  #box = el("div", { class: "chart", role: "img" });
  #value = el("p", { class: "chart-value" });
  #observer = new ResizeObserver(() => this.#fit());
  #themed = () => this.#draw();

  constructor(title, series, { zero = true } = {}) {
    super(title);
    this.#series = series;
    this.#zero = zero;
    show(this.drawing, this.#box, this.#value);
    this.#observer.observe(this.#box);
    document.addEventListener("runmetrics:theme", this.#themed);
  }

  close() {
    this.#observer.disconnect();
    document.removeEventListener("runmetrics:theme", this.#themed);
    this.#plot?.destroy();
  }

  runs(runs) {
    this.#runs = runs;
    const last = runs.at(-1);
    const word = (run) =>
      this.#series
        .map(({ label, of, format }) => `${label} ${of(run) === null ? "unknown" : format(of(run))}`)
        .join(", ");
    this.#box.setAttribute("aria-label", last ? `${runs.length} runs. Newest: ${word(last)}.` : "No runs.");
    show(this.#value, last ? this.#words(runs.length - 1) : "No run has this number yet.");
    this.say(
      this.#series.length > 1
        ? this.#series.map(({ label, dash }) => (dash ? `${label} (dashed)` : label)).join(", ")
        : "",
      () => ({
        head: ["Started", ...this.#series.map(({ label }) => label)],
        rows: runs
          .toReversed()
          .map((run) => [
            moment(run.createdAt),
            ...this.#series.map(({ of, format }) => (of(run) === null ? "–" : format(of(run)))),
          ]),
      }),
    );
    return this.#draw();
  }

  // words say what a run has, below the chart where the pointer is.
  #words(index) {
    const run = this.#runs[index];
    const numbers = this.#series
      .map(({ label, of, format }) => `${label} ${of(run) === null ? "–" : format(of(run))}`)
      .join(" · ");
    return [el("bdi", {}, plain(run.runId)), ` · ${numbers}`];
  }

  #data() {
    return [
      this.#runs.map((run) => Date.parse(run.createdAt) / 1000),
      ...this.#series.map(({ of }) => this.#runs.map(of)),
    ];
  }

  async #draw() {
    const uPlot = await load();
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#runs.length && this.#box.isConnected) this.#plot = new uPlot(this.#options(), this.#data(), this.#box);
  }

  #options() {
    const line = resolved("--line"),
      quiet = resolved("--quiet"),
      sheet = resolved("--sheet");
    const axis = {
      stroke: quiet,
      font: `11px ${colour("--sans")}`,
      grid: { stroke: line, width: 1 },
      ticks: { show: false },
    };
    const format = this.#series[0].format;
    return {
      width: this.#box.clientWidth || 400,
      height: 180,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7, fill: sheet } },
      scales: { y: { range: (_, low, high) => this.#range(low, high) } },
      axes: [
        {
          ...axis,
          space: 64,
          size: 26,
          values: (_, ticks, _axis, _space, step) => ticks.map((tick) => tickTime(tick, step)),
        },
        { ...axis, size: 58, space: 34, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        ...this.#series.map(({ label, tone, dash }) => ({
          label,
          stroke: resolved(tone),
          width: 1.6,
          dash,
          spanGaps: true,
          points: { show: this.#runs.length < 60, size: 4, fill: sheet },
        })),
      ],
      hooks: { setCursor: [(plot) => show(this.#value, this.#words(plot.cursor.idx ?? this.#runs.length - 1))] },
    };
  }

  #range(low, high) {
    if (low === null || high === null) return [0, 1];
    const pad = (high - low || high || 1) * 0.08;
    return [this.#zero ? 0 : Math.max(0, low - pad), high + pad];
  }

  #fit() {
    const width = this.#box.clientWidth;
    if (this.#plot && width) this.#plot.setSize({ width, height: 180 });
  }
}
