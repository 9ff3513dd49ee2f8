// One campaign: its key figures, its runs charted over time, and its runs.
import { Chart } from "./chart.js";
import { el, show } from "./dom.js";
import { duration, money, percent, text } from "./format.js";
import { failure } from "./notice.js";
import { listLink } from "./route.js";
import { RunList } from "./runlist.js";
import { RunsTable } from "./runstable.js";
import { plain, untrusted } from "./text.js";
import { Tiles } from "./tiles.js";

export class CampaignView {
  title;
  root;
  #list;
  #tiles = new Tiles();
  #table = new RunsTable(() => [
    el("strong", {}, this.#list.loaded ? "Nothing is known of this campaign yet" : "The runs could not be read"),
    "Its runs appear here as soon as their agents publish.",
  ]);
  #charts = [
    new Chart("Cost", [{ label: "cost", tone: "--accent", of: (run) => run.costUSD, format: (n) => text(money(n)) }]),
    new Chart("Latency", [
      { label: "p95", tone: "--accent", of: (run) => run.latencyP95Ms, format: (n) => text(duration(n)) },
      {
        label: "average",
        tone: "--quiet",
        dash: [5, 4],
        of: (run) => run.latencyAvgMs,
        format: (n) => text(duration(n)),
      },
    ]),
    new Chart(
      "Success rate",
      [{ label: "success", tone: "--good", of: (run) => run.successRate, format: (n) => text(percent(n)) }],
      { zero: false },
    ),
  ];
  #fault = el("div");
  #foot = el("div", { class: "table-foot" });

  constructor(context, campaign) {
    this.title = plain(campaign);
    this.#list = new RunList(() => ({ campaignId: campaign }), {
      list: (moved) => this.#draw(moved),
      summary: (summary, url) => this.#tiles.summary(summary, url),
      failed: (error) => this.#failed(error),
      busy: () => this.#table.busy(),
    });
    this.root = el(
      "div",
      {},
      el(
        "nav",
        { class: "crumbs", "aria-label": "Where this is" },
        el("a", { href: listLink() }, "Runs"),
        el("span", { "aria-hidden": "true" }, "/"),
        "Campaign",
      ),
      el(
        "div",
        { class: "title" },
        el("h1", {}, untrusted(campaign)),
        el(
          "span",
          { class: "end" },
          el("a", { href: listLink({ campaignId: campaign, window: "all" }) }, "Open in the list"),
        ),
      ),
      this.#fault,
      this.#tiles.root,
      el(
        "div",
        { class: "section trio" },
        this.#charts.map((chart) => chart.root),
      ),
      el(
        "section",
        { class: "section" },
        el("div", { class: "section-head" }, el("h2", {}, "Runs")),
        this.#table.root,
        this.#foot,
      ),
    );
    context.live.follow({ campaignId: campaign });
    this.#list.renew();
  }

  close() {
    this.#table.close();
    this.#list.close();
    for (const chart of this.#charts) chart.close();
  }

  metrics(records) {
    this.#list.apply(records);
  }

  ready() {
    this.#list.refresh();
  }

  tick(now) {
    this.#table.tick(now);
  }

  #failed(error) {
    show(
      this.#fault,
      failure(error, () => this.#list.refresh()),
    );
    if (!this.#list.loaded) this.#table.draw([], { fresh: new Set(), changed: new Set() });
  }

  #draw(moved) {
    const runs = this.#list.records.list;
    show(this.#fault);
    this.#tiles.runs(runs);
    this.#table.draw(runs, moved);
    for (const chart of this.#charts) chart.runs(runs.toReversed()).catch((error) => this.#failed(error));
    const more = el(
      "button",
      {
        class: "button",
        type: "button",
        onclick: () => {
          more.disabled = true;
          this.#list.more().catch((error) => this.#failed(error));
        },
      },
      "Load more",
    );
    show(
      this.#foot,
      this.#list.cursor ? more : null,
      el(
        "span",
        {},
        `Charts show the ${runs.length} newest runs${this.#list.cursor ? "; load more for older ones" : ""}.`,
      ),
    );
  }
}
