// Icons, drawn with one pen on a 16 by 16 grid. They stand beside words and are hidden from screen readers.
import { el, svg } from "./dom.js";

const paths = {
  completed: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.3 8.2l1.9 1.9 3.6-4",
  failed: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2",
  cancelled: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM3.7 12.3l8.6-8.6",
  running: "M8 1.8a6.2 6.2 0 1 1-6.2 6.2M8 4.8v3.4l2.2 1.4",
  stalled: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM6.4 5.8v4.4M9.6 5.8v4.4",
  waiting: "M2.2 8h.1M7.9 8H8M13.7 8h.1",
  broken: "M2 2l12 12M5.2 10.6a4 4 0 0 1 3.2-1.2M2.4 6.6A9 9 0 0 1 5 5M8.4 4.1a9 9 0 0 1 5.2 2.5M8 13h.1",
  key: "M10.2 1.9a3.9 3.9 0 1 0 0 7.8 3.9 3.9 0 0 0 0-7.8ZM7.4 8.6 2 14M4 12l1.6 1.6",
  pause: "M5 3v10M11 3v10",
  play: "M4.5 2.8v10.4L13 8Z",
  light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  dark: "M13.6 9.6A6 6 0 0 1 6.4 2.4a6 6 0 1 0 7.2 7.2Z",
  caught: "M2.2 8.4l3.6 3.6L13.8 4",
  behind: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 4.6V8l2.4 1.6",
  alert: "M8 2 1.6 13.4h12.8ZM8 6.4v3.2M8 11.5v.1",
};

// icon draws one.
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: paths[name] ?? paths.waiting }),
  );
}

const looks = {
  completed: ["completed", "good"],
  succeeded: ["completed", "good"],
  active: ["completed", "good"],
  failed: ["failed", "bad"],
  blocked: ["failed", "bad"],
  cancelled: ["cancelled", "quiet"],
  standby: ["stalled", "quiet"],
  stopping: ["stalled", "quiet"],
  running: ["running", "live"],
  starting: ["running", "live"],
  stalled: ["stalled", "warn"],
  degraded: ["alert", "warn"],
  throttled: ["behind", "warn"],
  budget: ["alert", "warn"],
};

// status shows a state as icon and word.
export function status(state) {
  const [image, tone] = looks[state] ?? ["waiting", "quiet"];
  return el("span", { class: `status ${tone} ${image}` }, icon(image), el("span", {}, state));
}
