// One run: its phases and their total, how long its agents took and when they worked, and each of them.
import { Source, address, parse, request, runPath } from "./api.js";
import { AgentsTable } from "./agentstable.js";
import { el, show } from "./dom.js";
import { cost, count, lasted, rate, span, tokens } from "./figures.js";
import { ago, exact, moment } from "./format.js";
import { Histogram } from "./histogram.js";
import { status } from "./icons.js";
import { failure } from "./notice.js";
import { Refresher } from "./refresher.js";
import { campaignLink, lettersLink, listLink } from "./route.js";
import { Timeline } from "./timeline.js";
import { plain, untrusted } from "./text.js";

const PAGE = 1000;
const MOST = 10_000; // agents that are loaded at most

export class RunView {
  title;
  root;
  #path;
  #campaign;
  #run;
  #source = new Source();
  #refresher;
  #limit = PAGE; // of the first page, which is read again and again
  #detail = null;
  #agents = [];
  #cursor = null;
  #fault = el("div");
  #head = el("div");
  #facts = el("dl", { class: "facts" });
  #phases = el("div", { class: "section" });
  #agentsNote = el("span", { class: "quiet" });
  #histogram = new Histogram();
  #timeline = new Timeline();
  #table = new AgentsTable();
  #resized = new ResizeObserver(() => this.#drawFigures());

  constructor(context, campaign, run) {
    this.#campaign = campaign;
    this.#run = run;
    this.title = plain(run);
    this.#path = runPath(campaign, run);
    this.root = el(
      "div",
      {},
      el(
        "nav",
        { class: "crumbs", "aria-label": "Where this is" },
        el("a", { href: listLink() }, "Runs"),
        el("span", { "aria-hidden": "true" }, "/"),
        el("a", { href: campaignLink(campaign) }, untrusted(campaign)),
      ),
      el("div", { class: "title" }, el("h1", {}, untrusted(run)), this.#head),
      this.#fault,
      this.#facts,
      this.#phases,
      el("div", { class: "section pair" }, this.#histogram.root, this.#timeline.root),
      el(
        "section",
        { class: "section" },
        el("div", { class: "section-head" }, el("h2", {}, "Agents"), this.#agentsNote),
        this.#table.root,
      ),
    );
    this.#refresher = new Refresher(
      (signal) => this.#read(signal),
      (error) => this.#failed(error),
    );
    context.live.follow({ campaignId: campaign, runId: run });
    if (!this.#path)
      return void this.#failed(
        new Error("A run of this name cannot be asked for in a browser; the list of runs has its numbers"),
      );
    this.#resized.observe(this.#histogram.root);
    this.#refresher.now();
  }

  close() {
    this.#refresher.close();
    this.#resized.disconnect();
    this.#table.close();
  }

  metrics() {
    this.#refresh();
  }

  ready() {
    this.#refresh();
  }

  tick(now) {
    if (!this.#detail?.metrics.some((phase) => phase.status === "running")) return;
    this.#drawHead(now);
    if (!document.hidden) this.#timeline.draw(this.#agents, now, this.#part());
  }

  #refresh() {
    if (this.#path) this.#refresher.wish();
  }

  async #read(signal) {
    const detail = await this.#source.read(address(this.#path, { limit: this.#limit }), signal);
    if (signal.aborted || detail === this.#detail) return;
    this.#detail = detail;
    this.#agents = detail.agents;
    this.#cursor = detail.nextCursor ?? null;
    show(this.#fault);
    this.#draw();
  }

  // more loads the next page of agents. From then on all loaded ones are read again together.
  async #more() {
    const answer = await request(address(this.#path, { limit: PAGE, cursor: this.#cursor }));
    const { agents, nextCursor } = parse(await answer.text());
    this.#agents = [...this.#agents, ...agents];
    this.#limit = Math.min(MOST, this.#agents.length);
    this.#cursor = this.#agents.length < MOST ? nextCursor : null;
    this.#drawAgents();
  }

  #failed(error) {
    const retry = this.#path && error.status !== 404 ? () => this.#refresher.now() : null;
    show(
      this.#fault,
      failure(
        error.status === 404
          ? Object.assign(new Error("Nothing is known of this run yet. The page shows it as soon as there is"), {
              status: 404,
            })
          : Object.assign(error, this.#path ? {} : { status: 400 }),
        retry,
      ),
    );
  }

  #draw() {
    this.#drawHead(Date.now());
    this.#drawPhases();
    this.#drawAgents();
  }

  #drawHead(now) {
    const { metrics, total, deadLetters } = this.#detail;
    const states = [...new Set(metrics.map((phase) => phase.status))];
    show(this.#head, el("span", { class: "title-state" }, states.map(status)));
    this.#head.className = "title-states";
    const letters = deadLetters
      ? el(
          "a",
          { class: "bad", href: lettersLink({ campaignId: this.#campaign, runId: this.#run }) },
          exact(deadLetters),
        )
      : count(0);
    const fact = (label, ...shown) => el("div", {}, el("dt", {}, label), el("dd", {}, shown));
    if (!total) return void show(this.#facts, fact("Dead letters", letters));
    const done = total.agentsSuccessful + total.agentsFailed + (total.agentsCancelled ?? 0);
    const running = metrics.find((phase) => phase.status === "running");
    show(
      this.#facts,
      fact(
        "Started",
        el("time", { datetime: total.createdAt, title: moment(total.createdAt) }, ago(total.createdAt, now)),
      ),
      fact("Duration", lasted({ ...total, status: running ? "running" : states[0] }, now)),
      fact("Agents done", count(done), el("small", {}, ` of ${exact(total.agentsTotal)}`)),
      fact("Success rate", rate(total.successRate)),
      fact("Latency p50", span(total.latencyP50Ms)),
      fact("p95", span(total.latencyP95Ms)),
      fact("p99", span(total.latencyP99Ms)),
      fact("Average", span(total.latencyAvgMs)),
      fact("Tokens in / out", tokens(total)),
      fact("Assets", count(total.assetsGenerated)),
      fact("Cost", cost(total)),
      fact("Dead letters", letters),
    );
  }

  #drawPhases() {
    const { metrics } = this.#detail;
    if (metrics.length < 2) return void show(this.#phases);
    const head = [
      "Phase",
      "Status",
      "Agents",
      "Succeeded",
      "Failed",
      "Success",
      "p50",
      "p95",
      "p99",
      "Tokens in / out",
      "Cost",
    ];
    const row = (phase) => [
      untrusted(phase.phase, { class: "lead" }),
      status(phase.status),
      count(phase.agentsTotal),
      count(phase.agentsSuccessful),
      count(phase.agentsFailed),
      rate(phase.successRate),
      span(phase.latencyP50Ms),
      span(phase.latencyP95Ms),
      span(phase.latencyP99Ms),
      tokens(phase),
      cost(phase),
    ];
    const numbers = (index) => (index > 1 ? "number" : null);
    show(
      this.#phases,
      el("div", { class: "section-head" }, el("h2", {}, "Phases")),
      el(
        "div",
        { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Phases" },
        el(
          "table",
          { class: "phases" },
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              head.map((label, index) => el("th", { scope: "col", class: numbers(index) }, label)),
            ),
          ),
          el(
            "tbody",
            {},
            metrics.map((phase) =>
              el(
                "tr",
                {},
                row(phase).map((cell, index) => el("td", { class: numbers(index) }, cell)),
              ),
            ),
          ),
        ),
      ),
    );
  }

  #drawAgents() {
    const { total, agentsKnown, sealedAt } = this.#detail;
    show(
      this.#agentsNote,
      agentsKnown === false
        ? sealedAt
          ? `The executions were pruned; the numbers above were sealed at ${moment(sealedAt)}.`
          : "The run was reported as a whole: nothing is known of single agents."
        : "",
    );
    this.#table.draw(
      this.#agents,
      total?.agentsTotal ?? 0,
      this.#cursor ? () => this.#more().catch((error) => this.#failed(error)) : null,
    );
    this.#drawFigures();
  }

  #part() {
    return { part: this.#cursor !== null };
  }

  #drawFigures() {
    if (!this.#detail) return;
    this.#histogram.draw(this.#agents, this.#detail.total ?? {}, this.#part());
    this.#timeline.draw(this.#agents, Date.now(), this.#part());
  }
}
