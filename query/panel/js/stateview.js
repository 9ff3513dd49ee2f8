// The pipeline: how each stream is read and how the copy in Dataverse is kept, as /readyz says.
import { Source } from "./api.js";
import { el, show } from "./dom.js";
import { ago, duration, exact, text } from "./format.js";
import { status } from "./icons.js";
import { failure } from "./notice.js";
import { lettersLink, runLink } from "./route.js";
import { Refresher } from "./refresher.js";
import { untrusted } from "./text.js";

const meaning = {
  active: "Everything is read, committed and copied.",
  standby: "Another replica reads; this one takes over if it stops.",
  starting: "The first messages are on their way.",
  degraded: "Something is away and is being retried. Nothing is lost.",
  blocked: "A person must act; the reasons say how.",
  stopping: "The process is ending.",
};

export class StateView {
  title = "Pipeline";
  root;
  #head = el("div", { class: "title" });
  #parts = el("div", { class: "parts" });
  #fault = el("div");
  #backlog = null; // what waits to be copied to Dataverse, as the store counted it
  #refresher;

  constructor(context) {
    const source = new Source();
    const backlog = new Source();
    this.#refresher = new Refresher(
      async (signal) => {
        const state = await source.read("readyz", signal);
        const { dataverse } = state.dataverse ? await backlog.read("api/backlog", signal) : {};
        if (signal.aborted) return;
        this.#backlog = dataverse ?? null;
        this.#draw(state);
      },
      (error) =>
        show(
          this.#fault,
          failure(error, () => this.#refresher.now()),
        ),
    );
    show(this.#head, el("h1", {}, "Pipeline"));
    this.root = el("div", {}, this.#head, this.#fault, this.#parts);
    context.live.follow({});
    if (context.state()) this.state(context.state());
    this.#refresher.now();
  }

  close() {
    this.#refresher.close();
  }

  ready() {
    this.#refresher.wish();
  }

  // state is told what the stream says; how much waits for Dataverse only the store knows.
  state(state) {
    this.#draw(state);
    if (state.dataverse) this.#refresher.wish();
  }

  #draw(state) {
    show(this.#fault);
    show(
      this.#head,
      el("h1", {}, "Pipeline"),
      status(state.state),
      el("span", { class: "quiet" }, meaning[state.state] ?? ""),
    );
    if (!state.streams)
      return void show(this.#parts, el("p", { class: "quiet" }, "More is shown to who has a key that may read."));
    show(this.#parts, state.streams.map(stream), state.dataverse ? copy(state.dataverse, this.#backlog) : null);
  }
}

function part(title, state, facts, reasons) {
  return el(
    "section",
    { class: "panel part" },
    el("header", {}, el("h2", {}, title), status(state)),
    el(
      "dl",
      {},
      facts
        .filter(([, shown]) => shown !== undefined && shown !== null)
        .flatMap(([label, shown]) => [el("dt", {}, label), el("dd", {}, shown)]),
    ),
    reasons?.length
      ? el(
          "ul",
          { class: "reasons" },
          reasons.map((reason) => el("li", {}, untrusted(reason))),
        )
      : null,
  );
}

function stream(s) {
  const pending = s.pending ?? Math.max(0, s.lastSequence - s.position);
  return part(
    untrusted(s.stream),
    s.state,
    [
      ["Committed", `${exact(s.position)} of ${exact(s.lastSequence)}`],
      ["Waiting", pending ? el("strong", {}, exact(pending)) : "nothing"],
      ["Delay of the last commit", s.delayMs === undefined || !s.position ? null : text(duration(s.delayMs))],
      ["Applied", s.applied === undefined ? null : exact(s.applied)],
      ["Duplicates", s.duplicates === undefined ? null : exact(s.duplicates)],
      [
        "Dead letters",
        s.deadLetters === undefined
          ? null
          : s.deadLetters
            ? el("a", { class: "bad", href: lettersLink() }, exact(s.deadLetters))
            : "none",
      ],
      ["Gone before they were read", exact(s.gone)],
      [
        "Database may stay away for",
        s.outageHours === null ? "as long as it takes" : `${exact(Math.floor(s.outageHours * 10) / 10)} h`,
      ],
      ["Epoch", exact(s.epoch)],
    ],
    s.reasons,
  );
}

function waiting(backlog) {
  const since = backlog.waitingSince ? `, the first due ${ago(backlog.waitingSince, Date.now())}` : "";
  return `${exact(backlog.waiting)} runs${since}`;
}

function copy(c, backlog) {
  const rows = (c.parkedRows ?? []).map((row) =>
    el("li", {}, el("a", { href: runLink(row) }, untrusted(row.runId)), ": ", untrusted(row.reason)),
  );
  const shown = part(
    "Dataverse",
    c.state,
    [
      ["Waiting", backlog && (backlog.waiting ? el("strong", {}, waiting(backlog)) : "nothing")],
      ["Rows delivered", exact(c.delivered)],
      ["Requests", exact(c.requests)],
      ["Rows sent today", exact(c.targetsToday)],
      ["Throttled", c.throttles ? `${exact(c.throttles)} times` : "never"],
      ["Refused rows", c.parked ? el("strong", { class: "bad" }, exact(c.parked)) : "none"],
    ],
    c.reasons,
  );
  if (rows.length) shown.append(el("ul", { class: "reasons" }, rows));
  return shown;
}
