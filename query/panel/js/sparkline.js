// Small drawings of how a figure went over the newest runs, oldest on the left.
import { svg } from "./dom.js";

const WIDTH = 120,
  HEIGHT = 30;

function frame(label, ...marks) {
  return svg(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    marks,
  );
}

// line draws levels; runs without a value leave a gap that is bridged.
export function line(values, label) {
  const known = values
    .map((value, index) => [index, value])
    .filter(([, value]) => value !== null && value !== undefined);
  if (known.length < 2) return frame(label, base());
  const low = Math.min(...known.map(([, value]) => value)),
    high = Math.max(...known.map(([, value]) => value));
  const x = (index) => (index / (values.length - 1)) * WIDTH;
  const y = (value) => (high === low ? HEIGHT / 2 : 2 + (1 - (value - low) / (high - low)) * (HEIGHT - 5));
  const points = known.map(([index, value]) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  return frame(
    label,
    svg("path", {
      class: "fill",
      d: `M${x(known[0][0]).toFixed(1)} ${HEIGHT}L${points.join("L")}L${x(known.at(-1)[0]).toFixed(1)} ${HEIGHT}Z`,
    }),
    svg("path", { class: "stroke", d: `M${points.join("L")}` }),
  );
}

// bars draws amounts, from zero.
export function bars(values, label) {
  const high = Math.max(...values.map((value) => value ?? 0), 0);
  const step = WIDTH / Math.max(values.length, 12);
  return frame(
    label,
    base(),
    high === 0
      ? null
      : values.map((value, index) => {
          const height = value ? Math.max(1, (value / high) * (HEIGHT - 2)) : 0;
          return svg("rect", {
            class: index === values.length - 1 ? "bar-mark last" : "bar-mark",
            x: WIDTH - (values.length - index) * step,
            y: HEIGHT - height,
            width: step * 0.68,
            height,
          });
        }),
  );
}

// strip draws a mark of each run's status; height tells a good end from others where colours do not.
export function strip(statuses, label) {
  const step = WIDTH / Math.max(statuses.length, 12);
  const heights = { completed: 12, running: 18, stalled: 18, cancelled: 6, failed: HEIGHT - 2 };
  return frame(
    label,
    base(),
    statuses.map((status, index) =>
      svg("rect", {
        class: status,
        x: WIDTH - (statuses.length - index) * step,
        y: HEIGHT - heights[status],
        width: step * 0.68,
        height: heights[status],
      }),
    ),
  );
}

function base() {
  return svg("path", { class: "base", d: `M0 ${HEIGHT}H${WIDTH}` });
}
