// Reads something again when asked to, at most every two seconds, and never more often than ten times as long as the
// last answer took: many open panels must not load a store that is slow already.

const PAUSE = 2000;
const SHARE = 10;

export class Refresher {
  #read;
  #failed;
  #abort = null; // of the reading under way
  #timer = 0;
  #again = false;
  #next = 0; // the earliest start of the next reading
  #closed = false;

  // read gets a signal and returns a promise; failed gets what it throws.
  constructor(read, failed) {
    this.#read = read;
    this.#failed = failed;
  }

  // wish asks for a reading as soon as it may be.
  wish() {
    if (this.#closed) return;
    if (this.#abort) this.#again = true;
    else if (!this.#timer) this.#timer = setTimeout(() => this.#start(), Math.max(0, this.#next - performance.now()));
  }

  // now reads at once: what is to be read has changed.
  now() {
    this.#stop();
    return this.#start();
  }

  close() {
    this.#closed = true;
    this.#stop();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#abort?.abort();
    this.#abort = null;
    this.#again = false;
  }

  async #start() {
    this.#timer = 0;
    const abort = (this.#abort = new AbortController());
    const began = performance.now();
    try {
      await this.#read(abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) this.#failed(error);
    }
    if (this.#abort !== abort) return; // another one has begun
    this.#abort = null;
    const ended = performance.now();
    this.#next = Math.max(began + PAUSE, ended + (SHARE - 1) * (ended - began));
    if (this.#again) {
      this.#again = false;
      this.wish();
    }
  }
}
