// All runs: key figures, filters, and the table.
import { announce } from "./announce.js";
import { el, show } from "./dom.js";
import { Filters } from "./filters.js";
import { exact, many } from "./format.js";
import { failure } from "./notice.js";
import { listLink } from "./route.js";
import { RunList } from "./runlist.js";
import { RunsTable } from "./runstable.js";
import { Tiles } from "./tiles.js";

export class RunsView {
  title = "";
  root;
  #context;
  #filters;
  #list;
  #tiles = new Tiles();
  #table = new RunsTable(() => this.#empty());
  #fault = el("div");
  #foot = el("div", { class: "table-foot" });
  #untold = 0; // runs that came since runs were last spoken of
  #keys = (event) => this.#key(event);

  constructor(context, query) {
    this.#context = context;
    this.#filters = new Filters(
      query,
      () => this.#renew(),
      () => this.#draw(),
    );
    this.#filters.root.addEventListener("failed", ({ detail }) => this.#failed(detail));
    this.#list = new RunList(() => this.#filters.api(), {
      list: (moved) => this.#draw(moved),
      summary: (summary, url) => this.#tiles.summary(summary, url),
      failed: (error) => this.#failed(error),
      busy: () => {
        this.#tiles.outdated();
        this.#table.busy();
        show(this.#foot);
      },
    });
    this.root = el(
      "div",
      {},
      el("h1", { class: "unseen" }, "Runs"),
      this.#fault,
      this.#tiles.root,
      this.#filters.root,
      this.#table.root,
      this.#foot,
    );
    document.addEventListener("keydown", this.#keys);
    this.#renew(true);
  }

  close() {
    document.removeEventListener("keydown", this.#keys);
    this.#table.close();
    this.#list.close();
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

  #renew(first) {
    if (!first) history.replaceState(null, "", listLink(this.#filters.address()));
    show(this.#fault);
    this.#context.live.follow(this.#filters.stream());
    this.#list.renew();
  }

  #failed(error) {
    show(
      this.#fault,
      failure(error, () => {
        show(this.#fault);
        this.#list.refresh();
      }),
    );
    if (!this.#list.loaded) this.#draw();
  }

  #draw(moved = { fresh: new Set(), changed: new Set() }) {
    const shown = this.#list.records.list.filter(this.#filters.found());
    this.#table.draw(shown, moved);
    if (!this.#list.loaded) return;
    show(this.#fault);
    this.#tiles.runs(this.#list.records.list);
    this.#drawFoot(shown.length);
    this.#tell(moved.fresh.size);
  }

  // tell speaks of runs that came, all since it last did at once.
  #tell(came) {
    if (came === 0) return;
    this.#untold += came;
    announce("runs", () => {
      const told = this.#untold;
      this.#untold = 0;
      return `${many(told, "new run")}.`;
    });
  }

  #drawFoot(shown) {
    const loaded = this.#list.records.size;
    const more = el("button", { class: "button", type: "button", onclick: () => this.#more(more) }, "Load more");
    show(
      this.#foot,
      this.#list.cursor ? more : null,
      el(
        "span",
        {},
        shown === loaded
          ? `${many(loaded, "run")} of ${this.#filters.words}`
          : `${exact(shown)} of ${many(loaded, "loaded run")}`,
        this.#list.cursor
          ? ", there are more"
          : this.#list.records.full
            ? "; narrow the filters, or export, for the rest"
            : "",
      ),
      el(
        "span",
        { class: "end keys" },
        el("kbd", {}, "j"),
        " ",
        el("kbd", {}, "k"),
        " rows  ",
        el("kbd", {}, "Enter"),
        " open  ",
        el("kbd", {}, "/"),
        " search",
      ),
    );
  }

  #more(button) {
    button.disabled = true;
    this.#list.more().catch((error) => this.#failed(error));
  }

  #empty() {
    const act = (label, does) => el("button", { class: "button", type: "button", onclick: does }, label);
    if (!this.#list.loaded) return [el("strong", {}, "The runs could not be read")];
    if (this.#filters.searching && this.#list.records.size) {
      return [
        el("strong", {}, "None of the loaded runs has these words"),
        "Filters ask for all runs, the search looks at those that are loaded.",
        el(
          "div",
          {},
          act("Clear the search", () => {
            this.#filters.clearSearch();
            this.#draw();
          }),
        ),
      ];
    }
    if (this.#filters.narrowed || this.#filters.bounded) {
      return [
        el(
          "strong",
          {},
          this.#filters.narrowed ? "No run passes these filters" : `No run began in ${this.#filters.words}`,
        ),
        el(
          "div",
          {},
          this.#filters.narrowed ? act("Clear the filters", () => this.#filters.clear()) : null,
          this.#filters.bounded ? act("Look at all time", () => this.#filters.widen()) : null,
        ),
      ];
    }
    return [
      el("strong", {}, "There are no runs yet"),
      "They appear here as soon as agents publish. To see it move:",
      el("div", {}, el("pre", {}, "runmetrics publish --generate 1000")),
    ];
  }

  #key(event) {
    if (
      event.key !== "/" ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.target.closest?.("input, select, dialog")
    )
      return;
    event.preventDefault();
    this.#filters.focusSearch();
  }
}
