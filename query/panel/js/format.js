// Numbers and times for people. Each short form has an exact one beside it, for hovering and for screen readers.
import { el } from "./dom.js";

const NARROW = "\u202f"; // a narrow space that does not break
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 9 });

// exact is a number with all its digits.
export function exact(n) {
  return grouped.format(n);
}

// many is how many there are of something.
export function many(n, noun) {
  return `${exact(n)} ${noun}${n === 1 ? "" : "s"}`;
}

const scales = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

// compact is a count in about three digits: 812, 9,812, 12.3 k, 1.24 M. It is cut, not rounded up into the next unit.
export function compact(n) {
  if (Math.abs(n) < 10_000) return [exact(n), ""];
  const [size, unit] = scales.find(([limit]) => Math.abs(n) >= limit);
  return [significant(n / size), unit];
}

// significant writes three digits and never rounds 999.9 up to 1000.
function significant(n) {
  const digits = n < 10 ? 2 : n < 100 ? 1 : 0;
  const power = 10 ** digits;
  return (Math.floor(n * power + 1e-9) / power).toFixed(digits);
}

// money is US dollars: $3.48, $0.0021, $12.3 k.
export function money(n) {
  if (n === 0) return ["$0", ""];
  if (n < 0.01) return ["$" + Number(n.toPrecision(2)).toFixed(Math.min(9, 1 - Math.floor(Math.log10(n)))), ""];
  if (n < 1000) return ["$" + n.toFixed(2), ""];
  if (n < 100_000) return ["$" + grouped.format(Math.round(n)), ""];
  const [size, unit] = scales.find(([limit]) => n >= limit);
  return ["$" + significant(n / size), unit];
}

// duration is a time span of milliseconds in at most two units: 420 ms, 4.2 s, 42 s, 3 min 12 s, 2 h 05 min.
export function duration(ms) {
  if (ms < 1000) return [String(Math.round(ms)), "ms"];
  if (ms < 9_950) return [(ms / 1000).toFixed(1), "s"];
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return [String(seconds), "s"];
  if (seconds < 3600) return twoUnits(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return twoUnits(minutes, 60, "h", "min");
  return twoUnits(Math.floor(minutes / 60), 24, "d", "h");
}

function twoUnits(n, many, large, small) {
  const rest = n % many,
    whole = String(Math.floor(n / many));
  return rest === 0 ? [whole, large] : [`${whole}${NARROW}${large}${NARROW}${String(rest).padStart(2, "0")}`, small];
}

// percent has one decimal, and says 100 and 0 only where it is so.
export function percent(n) {
  if (n === 0 || n === 100) return [String(n), "%"];
  return [Math.min(99.9, Math.max(0.1, Math.round(n * 10) / 10)).toFixed(1), "%"];
}

// text joins a number and its unit.
export function text([number, unit]) {
  return unit ? number + NARROW + unit : number;
}

// value shows a number: short for the eye, exact in its title and for screen readers, and whole in its value.
export function value(short, raw, exactly) {
  const [number, unit] = short;
  if (text(short) === exactly) return el("data", { value: raw }, exactly);
  return el(
    "data",
    { value: raw, title: exactly },
    el("span", { "aria-hidden": "true" }, number, unit ? el("span", { class: "unit" }, NARROW + unit) : null),
    el("span", { class: "unseen" }, exactly),
  );
}

// none stands where there is no number, and says why.
export function none(reason) {
  return el(
    "span",
    { class: "unknown", title: reason },
    el("span", { "aria-hidden": "true" }, "–"),
    el("span", { class: "unseen" }, reason),
  );
}

const local = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const clockTime = new Intl.DateTimeFormat("sv-SE", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// clock is a time of today.
export function clock(date) {
  return clockTime.format(date);
}

// moment is a time in full, here and in UTC as the API has it.
export function moment(iso) {
  return `${local.format(new Date(iso))} here, ${iso.replace("T", " ").replace("Z", " UTC")}`;
}

// ago is how long a time is past.
export function ago(iso, now) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)}${NARROW}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${NARROW}min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}${NARROW}h ago`;
  if (seconds < 30 * 86_400) return `${Math.floor(seconds / 86_400)}${NARROW}d ago`;
  return iso.slice(0, 10);
}
