// How the latencies of a run's agents are spread, in buckets of equal ratio, with the percentiles that the API names.
import { show, svg } from "./dom.js";
import { Figure } from "./figure.js";
import { duration, exact, many, text } from "./format.js";

const LEFT = 8,
  RIGHT = 8,
  TOP = 46,
  BOTTOM = 22;
const HEIGHT = 250;

// bounds of buckets: 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8 and their tenfolds, ten a decade.
const decade = [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8];
const bound = (index) => decade[((index % 10) + 10) % 10] * 10 ** Math.floor(index / 10);

// bucketOf is the index of the bucket that holds a latency of at least 1 ms.
function bucketOf(ms) {
  let index = Math.floor(Math.log10(ms) * 10) - 1;
  while (bound(index + 1) <= ms) index++;
  return index;
}

function fill(latencies) {
  const counts = new Map();
  for (const ms of latencies) counts.set(bucketOf(Math.max(1, ms)), (counts.get(bucketOf(Math.max(1, ms))) ?? 0) + 1);
  const low = Math.min(...counts.keys()) - 1,
    high = Math.max(...counts.keys()) + 2;
  const buckets = [];
  for (let index = low; index < high; index++)
    buckets.push({ from: bound(index), to: bound(index + 1), count: counts.get(index) ?? 0 });
  return buckets;
}

export class Histogram extends Figure {
  constructor() {
    super("Latency");
  }

  // draw shows final executions that were not cancelled; percentiles come from the API, which knows all of them.
  draw(agents, { latencyP50Ms, latencyP95Ms, latencyP99Ms }, { part }) {
    const latencies = agents
      .filter((agent) => agent.latencyMs !== null && agent.status !== "cancelled")
      .map((agent) => agent.latencyMs);
    if (latencies.length === 0) {
      this.say("No execution has finished.", () => ({ head: ["Latency", "Agents"], rows: [] }));
      return void show(this.drawing);
    }
    const buckets = fill(latencies);
    this.say(`${many(latencies.length, "agent")}${part ? ", as far as they are loaded" : ""}`, () => ({
      head: ["Latency", "Agents"],
      rows: buckets
        .filter(({ count }) => count)
        .map(({ from, to, count }) => [`${text(duration(from))} to ${text(duration(to))}`, exact(count)]),
    }));
    const marks = [
      ["p50", latencyP50Ms],
      ["p95", latencyP95Ms],
      ["p99", latencyP99Ms],
    ].filter(([, ms]) => ms !== null);
    const width = Math.max(260, this.drawing.clientWidth || 520);
    show(this.drawing, drawing(buckets, marks, width));
  }
}

function drawing(buckets, marks, width) {
  const low = Math.log(buckets[0].from),
    high = Math.log(buckets.at(-1).to);
  const x = (ms) => LEFT + ((Math.log(Math.max(1, ms)) - low) / (high - low)) * (width - LEFT - RIGHT);
  const most = Math.max(...buckets.map(({ count }) => count));
  const floor = HEIGHT - BOTTOM;
  const bars = buckets
    .filter(({ count }) => count)
    .map(({ from, to, count }) => {
      const height = Math.max(2, (count / most) * (floor - TOP - 4));
      return svg(
        "rect",
        {
          class: "mark",
          x: x(from) + 0.5,
          y: floor - height,
          width: Math.max(1, x(to) - x(from) - 1.5),
          height,
          rx: 1,
        },
        svg("title", {}, `${many(count, "agent")} from ${text(duration(from))} to ${text(duration(to))}`),
      );
    });
  const words = marks.map(([name, ms]) => `${name} ${text(duration(ms))}`).join(", ");
  return svg(
    "svg",
    {
      class: "histogram",
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": `Latencies of agents. ${words}`,
    },
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: floor, y2: floor }),
    bars,
    ticks(buckets, x, floor, width),
    percentiles(marks, x, floor, width),
  );
}

// ticks stand at 1, 2 and 5 of each decade, as far as there is room.
function ticks(buckets, x, floor, width) {
  const shown = [];
  let free = LEFT;
  for (const { from } of buckets) {
    const lead = Number(from.toExponential().split("e")[0]);
    const at = x(from),
      room = text(duration(from)).length * 3.2 + 6;
    if (![1, 2, 5].includes(lead) || at - room < free || at + room > width) continue;
    free = at + room;
    shown.push(svg("text", { x: at, y: floor + 15, "text-anchor": "middle" }, text(duration(from))));
  }
  return shown;
}

// percentiles have their labels above the bars, in further rows where they would touch. Those of one value share a label.
function percentiles(marks, x, floor, width) {
  const ends = [-1, -1, -1];
  const names = new Map();
  for (const [name, ms] of marks) names.set(ms, names.has(ms) ? `${names.get(ms)}, ${name}` : name);
  return [...names].flatMap(([ms, name]) => {
    const label = `${name} ${text(duration(ms))}`,
      room = label.length * 6.2;
    const at = x(ms),
      left = at + room + 4 > width;
    const start = left ? at - room - 4 : at + 4;
    const row = Math.max(
      0,
      ends.findIndex((end) => start > end),
    );
    ends[row] = start + room + 6;
    return [
      svg("line", { class: "percentile", x1: at, x2: at, y1: 4 + 14 * row, y2: floor }),
      svg(
        "text",
        {
          class: "percentile-label",
          x: left ? at - 4 : at + 4,
          y: 13 + 14 * row,
          "text-anchor": left ? "end" : "start",
        },
        label,
      ),
    ];
  });
}
