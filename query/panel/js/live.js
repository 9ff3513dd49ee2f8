// The live connection: a stream of changed records that is taken up again where it broke off.
import { CAMPAIGN, Problem, address, request } from "./api.js";
import { parse } from "./api.js";
import { events } from "./sse.js";

const SILENCE = 45_000; // the server sends a heartbeat every 15 s
const LONGEST_PAUSE = 30_000;

// Live tells a listener {metrics(records), ready({complete, resumed}), state(body), status(status)}. A status is {kind,
// since, retryAt}: kind is connecting, live, reconnecting, paused, hidden, locked (a key is missing) or refused; since is
// when the last sign of life came, null before the first.
export class Live {
  #listener;
  #filter = null;
  #lastEventId = "";
  #abort = null;
  #held = new Set(); // why there is no connection: "paused", "hidden", "locked"
  #pending = new Map(); // newest record of each run since the last frame
  #frame = 0;
  #retry = 1000;
  #heard = null;
  #wake = () => {};

  constructor(listener) {
    this.#listener = listener;
    document.addEventListener("visibilitychange", () => this.#hold("hidden", document.hidden));
    document.addEventListener("runmetrics:key", () => {
      this.#held.delete("locked");
      this.#restart();
    });
    addEventListener("online", () => this.#wake());
    if (document.hidden) this.#held.add("hidden");
  }

  // follow listens for the runs of a filter {campaignId, runId, phase}, and forgets the one before.
  follow(filter) {
    this.#filter = filter;
    this.#lastEventId = "";
    this.#pending.clear();
    this.#restart();
  }

  get paused() {
    return this.#held.has("paused");
  }

  pause(on) {
    this.#hold("paused", on);
  }

  #hold(reason, on) {
    if (this.#held.has(reason) === on) return;
    if (on) this.#held.add(reason);
    else this.#held.delete(reason);
    this.#restart();
  }

  #restart() {
    this.#abort?.abort();
    this.#abort = null;
    if (!this.#filter) return;
    const [reason] = this.#held;
    if (reason) return this.#tell(reason);
    this.#abort = new AbortController();
    this.#run(this.#abort);
  }

  #tell(kind, more = {}) {
    this.#listener.status({ kind, since: this.#heard, ...more });
  }

  async #run(abort) {
    this.#tell(this.#heard ? "reconnecting" : "connecting");
    for (let failures = 0; !abort.signal.aborted; failures++) {
      try {
        if (await this.#listen(abort)) failures = 0;
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Problem && error.status === 401) return this.#hold("locked", true);
        if (error instanceof Problem && error.status === 403) return this.#tell("refused", { detail: error.message });
        if (error.retryAfter) failures = Math.max(failures, Math.ceil(Math.log2(error.retryAfter)));
      }
      if (abort.signal.aborted) return;
      // A part of the pause is chance: after a restart not all panels must come at once.
      const pause = Math.min(LONGEST_PAUSE, this.#retry * 2 ** failures) * (0.5 + Math.random() / 2);
      this.#tell("reconnecting", { retryAt: Date.now() + pause });
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, pause);
      });
    }
  }

  // listen reads the stream to its end and tells whether it was ever live.
  async #listen(abort) {
    const once = new AbortController(); // of this attempt: by whoever ends all, or by silence
    const end = () => once.abort();
    abort.signal.addEventListener("abort", end);
    let silence = setTimeout(end, SILENCE);
    let live = false;
    try {
      const headers = this.#lastEventId ? { "Last-Event-ID": this.#lastEventId } : {};
      const answer = await request(address(`${CAMPAIGN}/stream`, { ...this.#filter, limit: 0 }), {
        signal: once.signal,
        headers,
      });
      for await (const event of events(answer.body)) {
        if (abort.signal.aborted) break;
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE);
        this.#heard = new Date();
        if (event) live = this.#take(event) || live;
      }
      return live;
    } finally {
      clearTimeout(silence);
      abort.signal.removeEventListener("abort", end);
      end();
    }
  }

  // take deals with one event and tells whether it was the one that says that all is there.
  #take({ event, data, id }) {
    if (id !== null) this.#lastEventId = id;
    if (event === "metrics") {
      const record = parse(data);
      const known = this.#pending.get(record.runKey);
      if (!known || known.version <= record.version) this.#pending.set(record.runKey, record);
      this.#frame ||= requestAnimationFrame(() => this.#flush());
    } else if (event === "state") {
      this.#listener.state(parse(data));
    } else if (event === "ready") {
      this.#tell("live");
      this.#listener.ready(parse(data));
      return true;
    }
    return false;
  }

  #flush() {
    this.#frame = 0;
    const records = [...this.#pending.values()];
    this.#pending.clear();
    if (records.length) this.#listener.metrics(records);
  }
}
