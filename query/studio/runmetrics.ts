/**
 * Metrics of agent runs, written to runmetrics and read from it. One file to copy, without dependencies, for Node 18.17
 * and later and for browsers.
 *
 *     const written = await writeCampaignMetrics(metrics);       // never throws
 *     const recent = await queryRecentMetrics(10);               // never throws
 *     void subscribeMetrics({}, { onMetrics: show }, signal);    // every change, as soon as it is committed
 *
 * A page asks its own origin, /api/metrics/campaign, which route.ts forwards. A server asks RUNMETRICS_URL with the key
 * RUNMETRICS_KEY. Options.url and Options.key say otherwise.
 */

/** How a run is. stalled is a running run of which nothing was heard for a while; all but these two are final. */
export type RunStatus = "running" | "stalled" | "completed" | "failed" | "cancelled";

/**
 * The record of one phase of a run, as the API shows it. Numbers are null where they are unknown or have no meaning.
 * Names come from agents: show them as text, never as markup.
 */
export interface CampaignMetrics {
  /** 1 to 64 characters. */
  campaignId: string;
  /** 1 to 64 characters, unique within the campaign. */
  runId: string;
  /** 1 to 16 characters. */
  phase: string;
  /** UUID of (campaignId, runId, phase), the same in every store and in Dataverse. */
  runKey: string;
  status: RunStatus;
  /** Counted from the events of agents, or reported as a whole. */
  source: "events" | "reported";

  /** Agents seen; once the run is over, at least agentsExpected. */
  agentsTotal: number;
  /** Agents whose final execution succeeded. */
  agentsSuccessful: number;
  /** Agents whose final execution failed. */
  agentsFailed: number;
  /** Agents whose final execution was cancelled: they count neither for nor against success. */
  agentsCancelled: number | null;
  /** Agents that started and have no outcome yet. */
  agentsRunning: number | null;
  /** Agents that were expected and not seen. */
  agentsMissing: number | null;
  /** Agents that the start of the run announced. */
  agentsExpected: number | null;
  /** Finished attempts of all agents. */
  executions: number | null;

  /** Assets made by the final executions. */
  assetsGenerated: number;
  /** Tokens read, over all executions. */
  tokensIn: number;
  /** Tokens written, over all executions. */
  tokensOut: number;
  /** US dollars with up to nine fraction digits, over all executions whose cost is known. */
  costUSD: number;
  /** Whether every execution had a cost. */
  costComplete: boolean;

  /** Milliseconds, average of the final executions that were not cancelled, rounded half up. */
  latencyAvgMs: number | null;
  /** Milliseconds, exact median of the same. */
  latencyP50Ms: number | null;
  /** Milliseconds, exact 95th percentile of the same. */
  latencyP95Ms: number | null;
  /** Milliseconds, exact 99th percentile of the same. */
  latencyP99Ms: number | null;
  /** Milliseconds, the slowest of the same. */
  latencyMaxMs: number | null;

  /** Percent, 0 to 100 with two decimals; null where there is nothing to divide by. */
  successRate: number | null;

  /** RFC 3339, UTC: when the run began. */
  createdAt: string;
  /** RFC 3339, UTC: when it ended. */
  finishedAt: string | null;
  /** RFC 3339, UTC: when this version was committed. */
  updatedAt: string;
  /** How many commits changed the record: of two records of one runKey the greater version is the newer one. */
  version: number;
}

/** What a runtime that aggregates by itself reports of a run. The success rate is worked out by runmetrics. */
export interface CampaignReport {
  /** 1 to 64 characters. */
  campaignId: string;
  /** 1 to 64 characters. */
  runId: string;
  /** 1 to 16 characters. */
  phase: string;
  /** 0 to 10^9. */
  agentsTotal: number;
  /** 0 to agentsTotal. */
  agentsSuccessful: number;
  /** Whole number from 0. */
  assetsGenerated: number;
  /** Whole number from 0. */
  tokensIn: number;
  /** Whole number from 0. */
  tokensOut: number;
  /** US dollars, 0 to 10^9. A string keeps every digit of a decimal that a number cannot hold. */
  costUSD: number | string;
  /** Milliseconds, 0 to 2^31-1. */
  latencyP95Ms: number;
  /** Milliseconds, 0 to 2^31-1. */
  latencyAvgMs: number;
  /** When the run took place, now where absent. A string is RFC 3339. */
  createdAt?: string | Date | null;
}

/** Which records are wanted; what is absent does not matter. */
export interface MetricsFilter {
  campaignId?: string | undefined;
  runId?: string | undefined;
  phase?: string | undefined;
}

/** Which records of the past are wanted, and which page of them. */
export interface QueryFilter extends MetricsFilter {
  status?: RunStatus | undefined;
  /** Created then or later. */
  since?: string | Date | undefined;
  /** Created before. */
  until?: string | Date | undefined;
  /** The nextCursor of the page before. */
  cursor?: string | undefined;
}

/** Which runs a subscription is about. */
export interface StreamFilter extends MetricsFilter {
  /** How many of the newest records come at the start, 0 to 500. 50 where absent. */
  limit?: number | undefined;
}

/** Where and how to ask. */
export interface Options {
  /** What stands before /api/metrics/campaign: the origin of runmetrics, or a base path of the page's own server. */
  url?: string | undefined;
  /**
   * API key, <id>.<secret>. For servers only: whoever reads a page reads its keys. That of RUNMETRICS_KEY goes to
   * RUNMETRICS_URL alone.
   */
  key?: string | undefined;
  /** Ends the call. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call with its repetitions; 20,000 where absent. */
  timeoutMs?: number | undefined;
  /** How often to try at the most; 3 where absent. */
  attempts?: number | undefined;
}

/** Where a subscription asks. */
export type StreamOptions = Pick<Options, "url" | "key">;

/** How to write. */
export interface WriteOptions extends Options {
  /**
   * Id of this report within its run, 1 to 128 characters: repeated with the same id it is counted once. Made once for
   * each call where absent. Give one of your own to repeat a call that ended without an answer.
   */
  idempotencyKey?: string | undefined;
}

/** One bad field. */
export interface FieldProblem {
  /** Where it stands: body.costUSD, query.limit, header.Idempotency-Key. */
  location: string;
  message: string;
}

/** Why a call did not succeed. */
export interface Problem {
  /**
   * unsent: nothing was sent, the call itself is wrong. refused: 4xx, the same call will be refused again.
   * unavailable: 408, 429 or 5xx, or an answer that is not runmetrics'. network: no answer. timeout: none in time.
   * aborted: the caller's signal ended it. After the last four a report may or may not have been stored: repeat it with
   * its idempotency key.
   */
  kind: "unsent" | "refused" | "unavailable" | "network" | "timeout" | "aborted";
  /** Of the answer, 0 without one. */
  status: number;
  title: string;
  detail: string;
  /** Every bad field, where fields are what is wrong. */
  errors: FieldProblem[];
  /** The Idempotency-Key that was sent with a report. */
  idempotencyKey?: string;
  /** Milliseconds after which the server asked to try again. */
  retryAfterMs?: number;
}

/** What became of a report. */
export type WriteResult =
  /** Committed; this is the stored record. */
  | { ok: true; status: "stored"; record: CampaignMetrics; problem?: undefined }
  /** Safe in the event stream, and committed as soon as the database can. */
  | {
      ok: true; status: "accepted"; runKey: string; stream: string; sequence: number; record?: undefined;
      problem?: undefined;
    }
  | { ok: false; status?: undefined; record?: undefined; problem: Problem };

/** What was found: newest first. metrics is empty where ok is false. */
export type QueryResult =
  | { ok: true; metrics: CampaignMetrics[]; nextCursor: string | null; problem?: undefined }
  | { ok: false; metrics: CampaignMetrics[]; nextCursor: null; problem: Problem };

/**
 * Writes the record of a run. It never throws and never rejects. Where the server is away or busy it tries again with
 * the same idempotency key, after what Retry-After asks for, within the bounds of the options.
 */
export async function writeCampaignMetrics(metrics: CampaignReport, options: WriteOptions = {}): Promise<WriteResult> {
  const idempotencyKey = options.idempotencyKey ?? newKey();
  let body: string;
  try {
    body = JSON.stringify(metrics);
  } catch (error) {
    return { ok: false, problem: problemOf("unsent", `metrics cannot be written as JSON: ${textOf(error)}`) };
  }
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  const answer = await ask("", { method: "POST", headers, body }, options);
  if (answer.ok === false) return { ok: false, problem: { ...answer.problem, idempotencyKey } };
  const { status, content } = answer;
  if (status === 201 && "version" in content) {
    return { ok: true, status: "stored", record: content as unknown as CampaignMetrics };
  }
  if (status === 202 && "runKey" in content) {
    return { ok: true, status: "accepted", ...(content as { runKey: string; stream: string; sequence: number }) };
  }
  return { ok: false, problem: { ...strange(status), idempotencyKey } };
}

/**
 * Reads the newest records, at most limit (1 to 500) at a time. It never throws and never rejects, and tries again as
 * writeCampaignMetrics does.
 */
export async function queryRecentMetrics(
  limit = 10, filter: QueryFilter = {}, options: Options = {},
): Promise<QueryResult> {
  const failed = (problem: Problem): QueryResult => ({ ok: false, metrics: [], nextCursor: null, problem });
  let query: string;
  try {
    query = queryOf({ limit, ...filter });
  } catch (error) {
    return failed(problemOf("unsent", `the filter has an invalid date: ${textOf(error)}`));
  }
  const answer = await ask(query, { method: "GET", cache: "no-cache" }, options);
  if (answer.ok === false) return failed(answer.problem);
  const { metrics, nextCursor } = answer.content as { metrics?: CampaignMetrics[]; nextCursor?: string | null };
  if (!Array.isArray(metrics)) return failed(strange(answer.status));
  return { ok: true, metrics, nextCursor: nextCursor ?? null };
}

/** How a subscription is. */
export interface Connection {
  /** live: what was shown so far is complete. waiting: lost, tried again soon. ended: over, by the signal or for good. */
  state: "connecting" | "live" | "waiting" | "ended";
  /** Why it is waiting or has ended. */
  problem?: Problem;
}

/** How the pipeline is, as /readyz of runmetrics says. */
export interface PipelineState {
  state: "starting" | "active" | "standby" | "degraded" | "blocked" | "stopping";
  /** Why it is not simply active. */
  reasons?: string[];
  [more: string]: unknown;
}

/** Who is told. An error that a handler throws is reported as one of an event listener is, and changes nothing here. */
export interface MetricsHandlers {
  /** A record that is new or newer than the last one of its runKey. */
  onMetrics(record: CampaignMetrics): void;
  onConnection?(connection: Connection): void;
  onState?(state: PipelineState): void;
}

/**
 * Tells of the newest records, oldest of them first, and then of every change, until the signal aborts. A lost
 * connection is made again and goes on where it was; what changed meanwhile comes then. The promise is never rejected and
 * is fulfilled after the end: by the signal, or because the server refuses the filter, the key or the user.
 */
export async function subscribeMetrics(
  filter: StreamFilter, handlers: MetricsHandlers, signal: AbortSignal, options: StreamOptions = {},
): Promise<void> {
  await new Subscription(filter, handlers, signal, options).run();
}

const path = "/api/metrics/campaign";

/** Milliseconds. The server is given more than the five seconds that it may wait for a commit. */
const attemptTimeout = 10_000;
const callTimeout = 20_000;
const firstPause = 250;

/** Milliseconds without a byte after which a stream is dead: the server sends a heartbeat every fifteen seconds. */
const silence = 40_000;
const longestPause = 30_000;
/** What a server asks beyond that is a mistake, or more than a timer can hold. */
const longestRetryAfter = 3_600_000;
/** So many runs are remembered to recognize what is older than what was shown. */
const remembered = 20_000;

type Answer =
  | { ok: true; status: number; content: Record<string, unknown>; problem?: undefined }
  | { ok: false; problem: Problem };

/** Asks until there is an answer that counts, or no time or attempt is left. */
async function ask(query: string, init: RequestInit, options: Options): Promise<Answer> {
  const target = targetOf(options);
  if ("problem" in target) return { ok: false, problem: target.problem };
  const deadline = Date.now() + (options.timeoutMs ?? callTimeout);
  const given = init.headers as Record<string, string> | undefined;
  const headers = { Accept: "application/json", ...given, ...target.headers };
  for (let attempt = 1; ; attempt++) {
    const limit = AbortSignal.timeout(Math.max(0, Math.min(attemptTimeout, deadline - Date.now())));
    const answer = await askOnce(target.url + query, { ...init, headers }, limit, options.signal);
    if (!answer.problem || !worthRepeating(answer.problem) || attempt >= (options.attempts ?? 3)) return answer;
    const pause = (answer.problem.retryAfterMs ?? 0) + backoff(firstPause, attempt);
    if (Date.now() + pause >= deadline) return answer;
    await sleep(pause, options.signal);
    if (options.signal?.aborted) return { ok: false, problem: problemOf("aborted", "the caller ended the call") };
  }
}

async function askOnce(url: string, init: RequestInit, limit: AbortSignal, signal?: AbortSignal): Promise<Answer> {
  try {
    const response = await fetch(url, { ...init, signal: signal ? AbortSignal.any([signal, limit]) : limit });
    const content = jsonObject(await response.text());
    if (!response.ok) return { ok: false, problem: refusal(response, content) };
    // A page of somebody in between, a login say, is no answer either.
    return content ? { ok: true, status: response.status, content } : { ok: false, problem: strange(response.status) };
  } catch (error) {
    return { ok: false, problem: lost(error, limit, signal) };
  }
}

function worthRepeating(problem: Problem): boolean {
  return problem.kind === "network" || problem.kind === "timeout" || [408, 429, 502, 503, 504].includes(problem.status);
}

/** Where requests go, and with which key. */
function targetOf(options: Options): { url: string; headers: Record<string, string> } | { problem: Problem } {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {};
  const onPage = typeof location !== "undefined";
  const url = options.url ?? (onPage ? "" : env.RUNMETRICS_URL);
  const key = (options.key ?? (options.url === undefined && !onPage ? env.RUNMETRICS_KEY : undefined))?.trim();
  if (url === undefined) return { problem: problemOf("unsent", "RUNMETRICS_URL is not set; options.url does the same") };
  // An error of fetch about a header would quote the key.
  if (key && !/^[\x21-\x7e]+$/.test(key)) return { problem: problemOf("unsent", "the API key is not one") };
  try {
    const resolved = new URL(url.trim().replace(/\/+$/, "") + path, onPage ? location.href : undefined).href;
    return { url: resolved, headers: key ? { Authorization: `Bearer ${key}` } : {} };
  } catch {
    return { problem: problemOf("unsent", "the URL of runmetrics must be one such as https://runmetrics.example.com") };
  }
}

/** A subscription over all its connections. */
class Subscription {
  private readonly filter: StreamFilter;
  private readonly handlers: MetricsHandlers;
  private readonly signal: AbortSignal;
  private readonly options: StreamOptions;
  private readonly versions = new Map<string, number>();
  private lastEventId = "";
  private pause = 1_000; // milliseconds; the server sets it
  private failures = 0; // connections since the last one that was live
  private reread = false; // more changed meanwhile than the server could send

  constructor(filter: StreamFilter, handlers: MetricsHandlers, signal: AbortSignal, options: StreamOptions) {
    this.filter = filter;
    this.handlers = handlers;
    this.signal = signal;
    this.options = options;
  }

  /** Returns when the signal has aborted, or when the server refuses. */
  async run(): Promise<void> {
    while (!this.signal.aborted) {
      this.connection({ state: "connecting" });
      const problem = await this.connect();
      if (this.signal.aborted) break;
      if (problem.kind === "refused" || problem.kind === "unsent") {
        return this.connection({ state: "ended", problem });
      }
      this.connection({ state: "waiting", problem });
      await sleep((problem.retryAfterMs ?? 0) + backoff(this.pause, ++this.failures), this.signal);
    }
    this.connection({ state: "ended" });
  }

  /** One connection, from its beginning to its end. */
  private async connect(): Promise<Problem> {
    const target = targetOf(this.options);
    if ("problem" in target) return target.problem;
    const headers: Record<string, string> = { Accept: "text/event-stream", ...target.headers };
    if (this.lastEventId) headers["Last-Event-ID"] = this.lastEventId;
    const watchdog = new Watchdog();
    const signal = AbortSignal.any([this.signal, watchdog.signal]);
    try {
      watchdog.expect(attemptTimeout);
      const url = `${target.url}/stream${queryOf(this.filter)}`;
      const response = await fetch(url, { headers, signal, cache: "no-store" });
      if (!response.ok) return refusal(response, jsonObject(await response.text()));
      if (!response.body || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
        return strange(response.status);
      }
      return await this.follow(response.body.getReader(), watchdog);
    } catch (error) {
      return lost(error, watchdog.signal, this.signal);
    } finally {
      watchdog.stop();
    }
  }

  private async follow(reader: ReadableStreamDefaultReader<Uint8Array>, watchdog: Watchdog): Promise<Problem> {
    const decoder = new TextDecoder();
    const parser = new EventParser();
    try {
      for (;;) {
        watchdog.expect(silence);
        const { done, value } = await reader.read();
        if (done) return problemOf("network", "the server ended the stream");
        for (const event of parser.push(decoder.decode(value, { stream: true }))) this.take(event);
        this.pause = parser.retry ?? this.pause;
        if (!this.reread) continue;
        watchdog.stop();
        const problem = await this.readAgain();
        if (problem) return problem;
      }
    } finally {
      void reader.cancel().catch(() => undefined); // it may have failed before
    }
  }

  private take(event: ServerEvent): void {
    if (event.id) this.lastEventId = event.id;
    const data = jsonObject(event.data);
    if (!data) return;
    if (event.type === "metrics") this.show(data as unknown as CampaignMetrics);
    if (event.type === "state") this.tell(() => this.handlers.onState?.(data as unknown as PipelineState));
    if (event.type !== "ready") return;
    this.failures = 0;
    this.reread = data.complete === false;
    if (!this.reread) this.connection({ state: "live" });
  }

  /** Reads the newest records as at a start. Changes that come meanwhile wait in the connection. */
  private async readAgain(): Promise<Problem | undefined> {
    const { limit = 50, ...filter } = this.filter;
    const options = { ...this.options, signal: this.signal };
    const page = limit > 0 ? await queryRecentMetrics(limit, filter, options) : undefined;
    if (page?.problem) return page.problem;
    for (const record of page?.metrics.reverse() ?? []) this.show(record);
    this.reread = false;
    this.connection({ state: "live" });
    return undefined;
  }

  /** Hands a record on unless a newer one was. */
  private show(record: CampaignMetrics): void {
    if (this.signal.aborted || (this.versions.get(record.runKey) ?? 0) >= record.version) return;
    this.versions.delete(record.runKey); // a map keeps the order of insertion
    this.versions.set(record.runKey, record.version);
    const [oldest] = this.versions.keys();
    if (this.versions.size > remembered && oldest !== undefined) this.versions.delete(oldest);
    this.tell(() => this.handlers.onMetrics(record));
  }

  private connection(connection: Connection): void {
    this.tell(() => this.handlers.onConnection?.(connection));
  }

  /** An error of a handler is reported as that of an event listener is. It must not look like one of the connection. */
  private tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** Aborts its signal when what was expected did not come in time. */
class Watchdog {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  readonly signal = this.controller.signal;

  expect(withinMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), withinMs);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

interface ServerEvent {
  type: string;
  data: string;
  id: string;
}

/** Reads text/event-stream piece by piece, as its standard has it. */
class EventParser {
  /** Milliseconds to wait before the next connection, where the server said so. */
  retry: number | undefined;
  private rest = "";
  private event: ServerEvent = { type: "", data: "", id: "" };

  /** Takes in a piece of the stream and returns the events that it completes. */
  push(piece: string): ServerEvent[] {
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/); // a CR at the end may be half a CRLF
    this.rest = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line !== "") {
        this.field(line);
        continue;
      }
      if (this.event.data !== "") events.push(this.event);
      this.event = { type: "", data: "", id: "" };
    }
    return events;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.event.type = value;
    if (name === "id") this.event.id = value;
    if (name === "data") this.event.data += (this.event.data === "" ? "" : "\n") + value;
    if (name === "retry" && /^\d{1,6}$/.test(value)) this.retry = Number(value);
  }
}

function queryOf(values: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values) as [string, unknown][]) {
    if (value === undefined || value === null || value === "") continue;
    query.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** What an answer says that is no success; content is its problem+json, if it has one. */
function refusal(response: Response, content: Record<string, unknown> | undefined): Problem {
  const { status } = response;
  const p = problemOf(status >= 500 || status === 429 || status === 408 ? "unavailable" : "refused", "", status);
  p.title = typeof content?.title === "string" ? content.title : response.statusText || `HTTP ${status}`;
  p.detail = typeof content?.detail === "string" ? content.detail : p.title;
  if (Array.isArray(content?.errors)) p.errors = content.errors as FieldProblem[];
  const wait = retryAfter(response.headers.get("Retry-After"));
  if (wait !== undefined) p.retryAfterMs = wait;
  return p;
}

/** Reads Retry-After, which is seconds or a date. */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), longestRetryAfter);
}

/** Why there was no answer. */
function lost(error: unknown, limit: AbortSignal, signal?: AbortSignal): Problem {
  if (signal?.aborted) return problemOf("aborted", "the caller ended the call");
  if (limit.aborted) return problemOf("timeout", "no answer in time");
  return problemOf("network", `no answer: ${textOf(error)}`);
}

function strange(status: number): Problem {
  const detail = "this is not an answer of runmetrics; does the URL lead to it, or to a login page?";
  return problemOf("unavailable", detail, status);
}

const titles: Record<Problem["kind"], string> = {
  unsent: "Not sent", refused: "Refused", unavailable: "Unavailable", network: "No connection", timeout: "Timed out",
  aborted: "Aborted",
};

function problemOf(kind: Problem["kind"], detail: string, status = 0): Problem {
  return { kind, status, title: titles[kind], detail, errors: [] };
}

/** What an error says. That of fetch hides the reason in its cause. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof Error && cause.message ? `${message} (${cause.message})` : message;
}

/** Doubles from first to the longest pause, with jitter, so that many clients do not come back at once. */
function backoff(first: number, attempt: number): number {
  return Math.min(longestPause, first * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}

/** Waits, at most until the signal aborts. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** An id that no other report of the run has. Pages without TLS and Node 18 have no randomUUID. */
function newKey(): string {
  const random = () => Math.random().toString(36).slice(2);
  return globalThis.crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${random()}-${random()}`;
}
