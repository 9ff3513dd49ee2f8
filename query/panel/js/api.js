// Asks the API. What a view asks for again and again is asked for with If-None-Match.
import { ask, credentials } from "./key.js";

export const CAMPAIGN = "api/metrics/campaign";

// Problem is an answer that is not a success.
export class Problem extends Error {
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter; // seconds
  }
}

// address makes a URL of a path and parameters; empty ones are left out.
export function address(path, parameters = {}) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined),
  );
  return query.size ? `${path}?${query}` : path;
}

// runPath is where the API has a run, null for the two names that no URL can hold as a part of its path.
export function runPath(campaign, run) {
  const parts = [campaign, run];
  return parts.some((part) => part === "." || part === "..")
    ? null
    : `${CAMPAIGN}/${parts.map(encodeURIComponent).join("/runs/")}`;
}

// request sends a GET and asks for a key where one is needed. Answers other than 200 and 304 are thrown as Problem.
export async function request(url, { signal, headers = {} } = {}) {
  for (;;) {
    const carried = credentials();
    const answer = await fetch(url, { signal, headers: { ...headers, ...carried } });
    if (answer.ok || answer.status === 304) return answer;
    const problem = await problemOf(answer);
    if (answer.status !== 401 || !(await ask(carried, problem.message))) throw problem;
  }
}

async function problemOf(answer) {
  let detail = "";
  try {
    detail = (await answer.json()).detail;
  } catch {
    /* not of our making */
  }
  return new Problem(
    answer.status,
    detail || `the server answered ${answer.status}`,
    Number(answer.headers.get("Retry-After")) || 0,
  );
}

// parse reads JSON and keeps amounts of money as they were written, too: a double has not all their digits.
export function parse(text) {
  return JSON.parse(text, function (name, value, context) {
    if (name === "costUSD" && context?.source) this.costUSDText = context.source;
    return value;
  });
}

// Source is something that is read again and again.
export class Source {
  #etag = null;
  #data = null;
  #url = "";

  // read returns the data, the same object where nothing changed.
  async read(url, signal) {
    if (url !== this.#url) this.#etag = null;
    const answer = await request(url, { signal, headers: this.#etag ? { "If-None-Match": this.#etag } : {} });
    if (answer.status === 304) return this.#data;
    this.#data = parse(await answer.text());
    this.#etag = answer.headers.get("ETag");
    this.#url = url;
    return this.#data;
  }
}
