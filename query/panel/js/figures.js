// The numbers of a record or a summary as people see them.
import { el } from "./dom.js";
import { compact, duration, exact, money, none, percent, value } from "./format.js";

// count shows how many; null has a reason.
export function count(n, noun, reason = "not known for a run that was reported as a whole") {
  return n === null || n === undefined ? none(reason) : value(compact(n), n, `${exact(n)}${noun ? " " + noun : ""}`);
}

// cost shows dollars, and says where some executions told no cost.
export function cost(record) {
  const shown = value(
    money(record.costUSD),
    record.costUSDText ?? record.costUSD,
    `$${record.costUSDText ?? exact(record.costUSD)}`,
  );
  if (record.costComplete) return shown;
  const why = "At least this much: some executions reported no cost";
  return el(
    "span",
    {},
    el(
      "span",
      { class: "inexact", title: why },
      el("span", { "aria-hidden": "true" }, "≥\u202f"),
      el("span", { class: "unseen" }, why + ": "),
    ),
    shown,
  );
}

// rate shows a success rate.
export function rate(n) {
  return n === null || n === undefined
    ? none("no agent has an outcome that counts yet")
    : value(percent(n), n, `${exact(n)} %`);
}

// span shows a latency.
export function span(ms, reason = "no execution has finished yet, or the run was reported without it") {
  return ms === null || ms === undefined ? none(reason) : value(duration(ms), ms, `${exact(ms)} ms`);
}

// tokens shows what went in and came out.
export function tokens(record) {
  return el(
    "span",
    {},
    count(record.tokensIn, "tokens in"),
    el("span", { class: "quiet" }, " / "),
    count(record.tokensOut, "tokens out"),
  );
}

// lasted is the time from the first event to the end, or to now.
export function lasted(record, now) {
  if (record.finishedAt) return span(Math.max(0, Date.parse(record.finishedAt) - Date.parse(record.createdAt)));
  if (record.status === "running") return span(Math.max(0, now - Date.parse(record.createdAt)));
  return none(record.status === "stalled" ? "nothing was heard of the run for a while" : "the end was not reported");
}
