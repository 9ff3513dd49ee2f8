// A list of runs under a filter: read page by page, kept up by the stream, and its summary over all of them.
import { CAMPAIGN, Source, address, parse, request } from "./api.js";
import { Records } from "./records.js";
import { Refresher } from "./refresher.js";

const PAGE = 50;
const CHECK = 60_000; // how often to read again without being told: a run stalls, or leaves the window, by the clock

// RunList tells a listener {list({fresh, changed}), summary(summary, url), failed(error), busy()}.
export class RunList {
  records = new Records();
  loaded = false; // the first page is there
  cursor = null; // of the next page, null behind the last
  #filter;
  #listener;
  #page = new Source();
  #totals = new Source();
  #readList;
  #readSummary;
  #timer;
  #more = new AbortController();

  // filter gives the filter of the moment, with since worked out.
  constructor(filter, listener) {
    this.#filter = filter;
    this.#listener = listener;
    const failed = (error) => listener.failed(error);
    this.#readList = new Refresher((signal) => this.#first(signal), failed);
    this.#readSummary = new Refresher((signal) => this.#sum(signal), failed);
    this.#timer = setInterval(() => this.refresh(), CHECK);
  }

  close() {
    clearInterval(this.#timer);
    this.#more.abort();
    this.#readList.close();
    this.#readSummary.close();
  }

  // renew reads everything anew: the filter has changed.
  renew() {
    this.records.clear();
    this.loaded = false;
    this.cursor = null;
    this.#more.abort();
    this.#more = new AbortController();
    this.#listener.busy();
    this.#readList.now();
    this.#readSummary.now();
  }

  // refresh reads again what may have changed.
  refresh() {
    if (document.hidden) return;
    this.#readList.wish();
    this.#readSummary.wish();
  }

  // apply takes in records of the stream.
  apply(records) {
    this.#readSummary.wish();
    if (!this.loaded) return; // the page that is on its way has them, or the one after it
    const moved = this.records.apply(records, this.#filter(), { whole: this.cursor === null });
    if (this.records.full) this.cursor = null;
    if (moved.fresh.size + moved.changed.size) this.#listener.list(moved);
  }

  // more reads the next page.
  async more() {
    const { signal } = this.#more;
    const answer = await request(address(CAMPAIGN, { ...this.#filter(), limit: PAGE, cursor: this.cursor }), {
      signal,
    });
    const { metrics, nextCursor } = parse(await answer.text());
    if (signal.aborted) return;
    this.records.page(metrics, { first: false });
    this.cursor = this.records.full ? null : nextCursor;
    this.#listener.list({ fresh: new Set(), changed: new Set() });
  }

  async #first(signal) {
    const { keys: known } = this.records;
    const { metrics, nextCursor } = await this.#page.read(
      address(CAMPAIGN, { ...this.#filter(), limit: PAGE }),
      signal,
    );
    if (signal.aborted) return;
    this.records.page(metrics, { first: true, last: nextCursor === null, known });
    if (this.records.size <= metrics.length) this.cursor = nextCursor;
    this.loaded = true;
    this.#listener.list({ fresh: new Set(), changed: new Set() });
  }

  async #sum(signal) {
    const url = address(`${CAMPAIGN}/summary`, this.#filter());
    const summary = await this.#totals.read(url, signal);
    if (!signal.aborted) this.#listener.summary(summary, url);
  }
}
