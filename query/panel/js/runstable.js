// The table of runs: one row each, newest first unless sorted otherwise, moving while they run.
import { arrange, el, place, show } from "./dom.js";
import { cost, count, lasted, rate, span, tokens } from "./figures.js";
import { ago, exact, moment, none } from "./format.js";
import { status } from "./icons.js";
import { blankRows } from "./notice.js";
import { campaignLink, runLink } from "./route.js";
import { Headings, walk } from "./table.js";
import { untrusted } from "./text.js";

const columns = [
  { name: "status", label: "Status", key: (run) => run.status, cell: (run) => status(run.status) },
  {
    name: "run",
    label: "Run",
    key: (run) => run.runId,
    cell: (run) => el("a", { class: "lead", href: runLink(run), "data-stop": true }, untrusted(run.runId)),
  },
  {
    name: "campaign",
    label: "Campaign",
    key: (run) => run.campaignId,
    cell: (run) => el("a", { href: campaignLink(run.campaignId) }, untrusted(run.campaignId)),
  },
  { name: "phase", label: "Phase", key: (run) => run.phase, cell: (run) => untrusted(run.phase, { class: "quiet" }) },
  {
    name: "started",
    label: "Started",
    number: true,
    key: (run) => run.createdAt,
    cell: (run) =>
      el(
        "time",
        { datetime: run.createdAt, title: moment(run.createdAt), class: "quiet" },
        ago(run.createdAt, Date.now()),
      ),
  },
  {
    name: "duration",
    label: "Duration",
    number: true,
    key: (run) => length(run),
    cell: (run) => lasted(run, Date.now()),
  },
  { name: "agents", label: "Agents", number: true, key: (run) => run.agentsTotal, cell: (run) => crew(run) },
  { name: "rate", label: "Success", number: true, key: (run) => run.successRate, cell: (run) => rate(run.successRate) },
  { name: "p95", label: "p95", number: true, key: (run) => run.latencyP95Ms, cell: (run) => span(run.latencyP95Ms) },
  {
    name: "average",
    label: "Average",
    number: true,
    key: (run) => run.latencyAvgMs,
    cell: (run) => span(run.latencyAvgMs),
  },
  {
    name: "tokens",
    label: "Tokens in / out",
    number: true,
    key: (run) => run.tokensIn + run.tokensOut,
    cell: (run) => tokens(run),
  },
  { name: "cost", label: "Cost", number: true, key: (run) => run.costUSD, cell: (run) => cost(run) },
];
const names = new Set(["run", "campaign"]);
const labelled = new Set(["duration", "rate", "p95", "average", "tokens", "cost"]);

function length(run) {
  return run.finishedAt ? Date.parse(run.finishedAt) - Date.parse(run.createdAt) : null;
}

// crew shows how many agents are done of how many there are, and a bar of what became of them.
function crew(run) {
  const rest = ["running", "stalled"].includes(run.status) ? "running" : "lost"; // nobody runs in a run that is over
  const parts = [
    ["succeeded", run.agentsSuccessful],
    ["failed", run.agentsFailed],
    ["cancelled", run.agentsCancelled ?? 0],
    [rest, run.agentsRunning ?? 0],
  ];
  const all = Math.max(run.agentsTotal, run.agentsExpected ?? 0);
  const done = run.agentsSuccessful + run.agentsFailed + (run.agentsCancelled ?? 0);
  const words = [...parts, ["missing", run.agentsMissing ?? 0]]
    .filter(([, n]) => n)
    .map(([word, n]) => `${exact(n)} ${word}`)
    .join(", ");
  return el(
    "span",
    { class: "crew", title: words },
    el(
      "span",
      { class: "share", "aria-hidden": "true" },
      parts.filter(([, n]) => n).map(([word, n]) => place(el("i", { class: word }), { width: `${(100 * n) / all}%` })),
    ),
    el(
      "span",
      { class: "of" },
      count(done),
      el("span", { class: "quiet" }, " / "),
      all ? count(all) : none("no agent is known yet"),
      words ? el("span", { class: "unseen" }, `: ${words}`) : null,
    ),
  );
}

// RunsTable draws records that it is given and asks for the empty message where there are none.
export class RunsTable {
  root;
  #body = el("tbody", { role: "rowgroup" });
  #headings;
  #rows = new Map(); // runKey → {row, cells, record}
  #records = [];
  #empty;
  #endWalk;

  constructor(empty) {
    this.#empty = empty;
    this.#headings = new Headings(columns, { name: "started", down: true }, () => this.#draw());
    const choice = el(
      "select",
      { onchange: () => this.#headings.by(choice.value, columns.find(({ name }) => name === choice.value).number) },
      columns.map(({ name, label }) => el("option", { value: name, selected: name === "started" }, label)),
    );
    this.root = el(
      "div",
      {},
      el("label", { class: "field sort-choice" }, el("span", {}, "Sort by"), choice),
      el(
        "div",
        { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Runs" },
        el(
          "table",
          { class: "runs", role: "table" },
          el("caption", { class: "unseen" }, "Runs. j and k move between rows, Enter opens one."),
          el("thead", { role: "rowgroup" }, this.#headings.row),
          this.#body,
        ),
      ),
    );
    this.#endWalk = walk(this.#body);
  }

  close() {
    this.#endWalk();
  }

  busy() {
    this.#rows.clear();
    show(this.#body, blankRows(8, columns.length));
  }

  // draw shows the records; fresh and changed are the keys of those that moved.
  draw(records, { fresh, changed }) {
    this.#records = records;
    for (const record of records) this.#update(record);
    this.#draw();
    for (const key of fresh) mark(this.#rows.get(key)?.row, "fresh");
    for (const key of changed) mark(this.#rows.get(key)?.row, "changed");
  }

  // tick moves what the clock moves.
  tick(now) {
    for (const { cells, record } of this.#rows.values()) {
      const time = cells.get("started").firstChild;
      const text = ago(record.createdAt, now);
      if (time.textContent !== text) time.textContent = text;
      if (record.status === "running") show(cells.get("duration"), lasted(record, now));
    }
  }

  #draw() {
    if (this.#records.length === 0) {
      this.#rows.clear();
      return void show(
        this.#body,
        el("tr", { role: "row" }, el("td", { role: "cell", class: "waiting", colspan: columns.length }, this.#empty())),
      );
    }
    const kept = new Set(this.#records.map((record) => record.runKey));
    for (const key of this.#rows.keys()) if (!kept.has(key)) this.#rows.delete(key);
    arrange(
      this.#body,
      this.#headings.sorted(this.#records).map((record) => this.#rows.get(record.runKey).row),
    );
  }

  #update(record) {
    const held = this.#rows.get(record.runKey);
    if (held?.record === record) return;
    const { row, cells } = held ?? this.#newRow(record);
    for (const { name, cell } of columns) {
      if (held && names.has(name)) continue; // names do not change, and links in them may have the focus
      show(cells.get(name), cell(record));
    }
    this.#rows.set(record.runKey, { row, cells, record });
  }

  #newRow(record) {
    const cells = new Map(
      columns.map(({ name, label, number }) => [
        name,
        el("td", {
          role: "cell",
          class: `cell-${name}${number ? " number" : ""}${names.has(name) ? " name" : ""}`,
          "data-label": labelled.has(name) ? label : null,
        }),
      ]),
    );
    const row = el("tr", { role: "row", "data-key": record.runKey }, [...cells.values()]);
    row.addEventListener("animationend", (event) => {
      if (event.target === row) row.classList.remove("fresh", "changed");
    });
    return { row, cells };
  }
}

function mark(row, as) {
  if (!row || row.classList.contains("fresh")) return;
  row.classList.remove(as);
  void row.offsetWidth; // a new animation, not the rest of the old one
  row.classList.add(as);
}
