// The records that a list holds: those that were read, kept up by the stream.

const MOST = 500;

// matches tells whether a record is in a listing with the filter, as the API decides it.
export function matches(record, filter) {
  return (
    ["campaignId", "runId", "phase", "status"].every((name) => !filter[name] || record[name] === filter[name]) &&
    (!filter.since || instant(record.createdAt) >= instant(filter.since))
  );
}

// instant is a time in microseconds, which is what stores keep and more than Date has.
function instant(iso) {
  const fraction = /\.(\d+)/.exec(iso)?.[1] ?? "";
  return Math.floor(Date.parse(iso) / 1000) * 1e6 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}

function newerFirst(a, b) {
  return instant(b.createdAt) - instant(a.createdAt) || (a.runKey < b.runKey ? 1 : -1);
}

export class Records {
  #byKey = new Map();
  #sorted = null;

  // list is newest first.
  get list() {
    this.#sorted ??= [...this.#byKey.values()].sort(newerFirst);
    return this.#sorted;
  }

  get size() {
    return this.#byKey.size;
  }
  get full() {
    return this.#byKey.size >= MOST;
  }

  clear() {
    this.#byKey.clear();
    this.#sorted = null;
  }

  // keys are those of the records that are held now.
  get keys() {
    return new Set(this.#byKey.keys());
  }

  // page takes in a page as it was read. Where it is the first, known are the keys that were held when it was asked for,
  // and of those between its ends it is the whole truth: what it lacks is gone, or left the filter. What the stream
  // brought meanwhile stays.
  page(records, { first, last, known }) {
    const read = new Map(records.map((record) => [record.runKey, record]));
    if (first) {
      const end = records.at(-1);
      for (const [key, held] of this.#byKey) {
        const within = last || (end && newerFirst(held, end) <= 0);
        if (within && known.has(key) && !read.has(key)) this.#byKey.delete(key);
      }
    }
    // Of the same version the one just read counts: whether a run is stalled is worked out when it is read.
    for (const [key, record] of read) {
      if (!(this.#byKey.get(key)?.version > record.version)) this.#byKey.set(key, record);
    }
    this.#sorted = null;
  }

  // apply takes in what changed and returns {fresh, changed}: the keys of runs that came and of runs that moved on. A run
  // older than what is loaded waits for its page.
  apply(records, filter, { whole }) {
    const fresh = new Set(),
      changed = new Set();
    const oldest = this.list.at(-1);
    for (const record of records) {
      const held = this.#byKey.get(record.runKey);
      if (held && held.version >= record.version) continue;
      if (!matches(record, filter)) this.#byKey.delete(record.runKey);
      else if (held || whole || !oldest || newerFirst(record, oldest) < 0) {
        this.#byKey.set(record.runKey, record);
        (held ? changed : fresh).add(record.runKey);
      }
    }
    this.#sorted = null;
    for (const record of this.list.slice(MOST)) this.#byKey.delete(record.runKey);
    this.#sorted = null;
    return { fresh, changed };
  }
}
