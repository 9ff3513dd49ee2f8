/**
 * Publishes the events of agent runs to runmetrics over HTTP. One file to copy, without dependencies, for whatever has
 * fetch: Node 18 and later, Deno, Bun, functions and workers that cannot hold a connection to NATS.
 *
 *     const publisher = new Publisher({ url: "https://runmetrics.example.com", key: env.RUNMETRICS_KEY });
 *     const run = await publisher.startRun({ campaignId: "spring", runId: "run 7", phase: "2-3", agentsExpected: 3 });
 *     await run.agentStarted("writer");
 *     await run.agentFinished({ agentId: "writer", status: "succeeded", tokensIn: 1200, costUSD: "0.0123" });
 *     await run.finishRun();
 *     context.waitUntil(publisher.flush()); // or await it: what was not flushed ends with the function
 *
 * Events are collected and sent a thousand at a time, by flush at the latest. No method throws or rejects, so that
 * metrics cannot end an agent: what was refused or not stored goes to options.onError, by default to the console, and
 * flush counts it. Await each call: it waits while a full batch is sent.
 */

/** Which run: 1 to 64, 1 to 64 and 1 to 16 characters, without control characters. */
export interface RunNames {
  campaignId: string;
  runId: string;
  phase: string;
}

export type Outcome = "completed" | "failed" | "cancelled";

/** What may be said of any event. */
export interface Circumstances {
  /** Made where absent. */
  id?: string | undefined;
  /** Now where absent. */
  occurredAt?: Date | undefined;
}

/** An attempt of an agent. */
export interface Attempt extends Circumstances {
  /** From 1, higher for each retry. Where absent, agentStarted counts; without it, it is 1. */
  attempt?: number | undefined;
  agentName?: string | undefined;
  model?: string | undefined;
}

/** A finished attempt of an agent. */
export interface Execution extends Attempt {
  /** 1 to 128 characters. */
  agentId: string;
  status: "succeeded" | "failed" | "cancelled";
  /** Milliseconds. Measured from agentStarted on where absent. */
  latencyMs?: number | undefined;
  tokensIn?: number | undefined;
  tokensOut?: number | undefined;
  assetsGenerated?: number | undefined;
  /** US dollars; text keeps every digit. Absent, null and NaN are unknown, which is not 0. */
  costUSD?: number | string | null | undefined;
  error?: string | undefined;
}

/** An event as it goes over the wire. */
export interface RunEvent extends RunNames, Omit<Partial<Execution>, "occurredAt"> {
  /** 1 to 128 characters, unique within the run. An event keeps it however often it is published. */
  id: string;
  /** agent.finished where absent. */
  type?: "agent.finished" | "agent.started" | "run.started" | "run.finished" | "run.reported" | "executions.voided";
  /** As text, RFC 3339. */
  occurredAt: Date | string;
  agentsExpected?: number | undefined;
  outcome?: Outcome | undefined;
  metrics?: object;
  voids?: string[];
  reason?: string;
}

/** Where to send events, and how. */
export interface Options {
  /** The origin of runmetrics, or what stands before /api/events. */
  url: string;
  /** API key with the scope write, <id>.<secret>. Not for pages: whoever reads a page reads its keys. */
  key?: string | undefined;
  /** Told of each event that was refused or not stored, and why. */
  onError?: (error: PublishError) => void;
  /** Milliseconds for which a batch is sent again; 30,000 where absent. */
  patienceMs?: number;
}

/** Says that an event was not stored. reason and field are there where runmetrics refused it: it would again. */
export class PublishError extends Error {
  override name = "PublishError";
  readonly event: RunEvent;
  readonly reason: string | undefined;
  readonly field: string | undefined;

  constructor(event: RunEvent, detail: string, verdict?: Verdict) {
    super(`event ${event.id} of run ${event.runId} of ${event.campaignId} was not stored: ${detail}`);
    this.event = event;
    this.reason = verdict?.reason;
    this.field = verdict?.field;
  }
}

/** What runmetrics takes at a time. */
const maxEvents = 1_000;
const maxBytes = 5_000_000;
const maxEventBytes = 65_536;

/** Milliseconds. The server may take eight seconds until the events are stored. */
const answerTimeout = 15_000;
const firstPause = 250;
const longestPause = 10_000;

/** Collects events and sends them. What may have failed is sent again: each event counts once all the same. */
export class Publisher {
  private readonly options: Options;
  private collected: Line[] = [];
  private bytes = 0; // of what is collected
  private lost = 0; // since the last flush
  private complainedAt = 0; // at most once a second
  private sending = Promise.resolve();

  constructor(options: Options) {
    this.options = options;
  }

  /** Says that a run begins. */
  async startRun(
    run: RunNames & { agentsExpected?: number | undefined }, more: Circumstances = {},
  ): Promise<RunHandle> {
    await this.publish(eventOf(run, more, { type: "run.started", agentsExpected: run.agentsExpected }));
    return new RunHandle(this, run);
  }

  /** Collects an event, and sends when there are enough for a batch. */
  async publish(event: RunEvent): Promise<void> {
    let line: Line;
    try {
      line = lineOf(event);
    } catch (error) {
      return this.giveUp(event, textOf(error));
    }
    while (this.bytes + line.bytes + 2 > maxBytes) await this.sendAll();
    this.collected.push(line);
    this.bytes += line.bytes + 1;
    if (this.collected.length >= maxEvents) await this.sendAll();
  }

  /**
   * Sends what is collected, with the W3C trace context of the caller's span if given. Returns how many events were
   * lost since the last time.
   */
  async flush(traceparent?: string): Promise<number> {
    await this.sendAll(traceparent);
    const lost = this.lost;
    this.lost = 0;
    return lost;
  }

  /** One batch after the other: a server in trouble does not get better by more work. */
  private sendAll(traceparent?: string): Promise<void> {
    const batch = this.collected;
    this.collected = [];
    this.bytes = 0;
    this.sending = this.sending.then(() => this.send(batch, traceparent));
    return this.sending;
  }

  private async send(batch: Line[], traceparent?: string): Promise<void> {
    if (batch.length === 0) return;
    const giveUpAt = Date.now() + (this.options.patienceMs ?? 30_000);
    for (let attempt = 0; ; attempt++) {
      const answer = await this.post(batch, traceparent);
      const pause = Math.max(answer.retryAfterMs, backoff(attempt));
      if (answer.status === 413 && batch.length > 1) return this.halve(batch, traceparent);
      if (!passing(answer.status) || Date.now() + pause > giveUpAt) return this.settle(batch, answer);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** For what stands before runmetrics and takes less at a time. */
  private async halve(batch: Line[], traceparent?: string): Promise<void> {
    const middle = Math.ceil(batch.length / 2);
    await this.send(batch.slice(0, middle), traceparent);
    await this.send(batch.slice(middle), traceparent);
  }

  private async post(batch: Line[], traceparent = ""): Promise<Answer> {
    const url = `${this.options.url.trim().replace(/\/+$/, "")}/api/events`;
    if (!/^https?:\/\//.test(url)) return unanswered(400, "the URL must be one such as https://runmetrics.example.com");
    const headers: Record<string, string> = { "Content-Type": "application/json", Accept: "application/json" };
    const key = this.options.key?.trim();
    if (key) headers.Authorization = `Bearer ${key}`;
    // An error of fetch about a header would quote the key.
    if (key && !/^[\x21-\x7e]+$/.test(key)) return unanswered(401, "the API key is not one");
    if (/^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(traceparent)) headers.traceparent = traceparent;
    const body = `[${batch.map((line) => line.json).join()}]`;
    try {
      const signal = AbortSignal.timeout(answerTimeout);
      return await read(await fetch(url, { method: "POST", headers, body, signal }));
    } catch (error) {
      return unanswered(0, `no answer: ${textOf(error)}`);
    }
  }

  private settle(batch: Line[], answer: Answer): void {
    batch.forEach(({ event }, i) => {
      const verdict = answer.verdicts[i];
      if (verdict?.status === "accepted" || verdict?.status === "duplicate") return;
      if (verdict?.status === "refused") this.giveUp(event, `${verdict.reason}: ${verdict.detail}`, verdict);
      else this.giveUp(event, answer.detail);
    });
  }

  private giveUp(event: RunEvent, detail: string, verdict?: Verdict): void {
    this.lost++;
    const error = new PublishError(event, detail, verdict);
    if (this.options.onError) this.options.onError(error);
    else if (Date.now() - this.complainedAt > 1_000) {
      this.complainedAt = Date.now();
      console.error(`runmetrics: ${error.message} (${this.lost} lost since the last flush)`);
    }
  }
}

/** A run of which this process tells. */
export class RunHandle {
  private readonly publisher: Publisher;
  private readonly run: RunNames;
  private readonly attempts = new Map<string, number>(); // the last one of each agent that was started here
  private readonly clocks = new Map<string, number>(); // when the attempts under way began, in milliseconds

  constructor(publisher: Publisher, run: RunNames) {
    this.publisher = publisher;
    this.run = run;
  }

  /** Says that an agent begins, and starts its clock. Each time is a new attempt, unless one is given. */
  async agentStarted(agentId: string, more: Attempt = {}): Promise<void> {
    const attempt = more.attempt ?? (this.attempts.get(agentId) ?? 0) + 1;
    this.attempts.set(agentId, attempt);
    this.clocks.set(`${agentId}/${attempt}`, performance.now());
    const event = eventOf(this.run, more, { type: "agent.started", agentId, attempt });
    await this.publisher.publish(event);
  }

  /** Says how an attempt ended. Its id is made of agent and attempt: said again, by whomever, it counts once. */
  async agentFinished(execution: Execution): Promise<void> {
    const { agentId } = execution;
    const attempt = execution.attempt ?? this.attempts.get(agentId) ?? 1;
    const began = this.clocks.get(`${agentId}/${attempt}`);
    this.clocks.delete(`${agentId}/${attempt}`);
    const latencyMs = execution.latencyMs ?? (began === undefined ? undefined : performance.now() - began);
    const id = execution.id ?? executionId(this.run, agentId, attempt);
    const event = eventOf(this.run, execution, { type: "agent.finished", id, attempt, latencyMs });
    await this.publisher.publish(event);
  }

  /** Says that the run is over. What its agents still tell counts all the same. */
  async finishRun(outcome: Outcome = "completed", more: Circumstances = {}): Promise<void> {
    await this.publisher.publish(eventOf(this.run, more, { type: "run.finished", outcome }));
  }
}

/** Makes an event of what was said of it. Its texts are cut to fit: an error message may have any length. */
function eventOf(run: RunNames, said: Partial<Execution>, fields: Partial<RunEvent>): RunEvent {
  const { campaignId, runId, phase } = run;
  const fit = (text: string | undefined, length: number) =>
    text == null ? undefined : String(text).slice(0, length).replace(/[\0\p{Cs}]/gu, "\ufffd");
  return {
    ...said, id: said.id ?? randomId(), campaignId, runId, phase, occurredAt: said.occurredAt ?? new Date(),
    agentName: fit(said.agentName, 256), model: fit(said.model, 256), error: fit(said.error, 2048), ...fields,
  };
}

interface Line {
  event: RunEvent;
  json: string;
  bytes: number;
}

/** Writes an event as JSON, which has no NaN: as a word it is refused, where null would count as 0. */
function lineOf(event: RunEvent): Line {
  const json = JSON.stringify(event, (field, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? (field === "costUSD" ? null : String(value)) : value);
  const bytes = new TextEncoder().encode(json).length;
  if (bytes > maxEventBytes) throw new Error(`it has ${bytes} bytes, over ${maxEventBytes}`);
  return { event, json, bytes };
}

/** What runmetrics says of one event. */
interface Verdict {
  status: "accepted" | "duplicate" | "refused" | "unconfirmed";
  reason?: string;
  field?: string;
  detail?: string;
}

interface Answer {
  status: number; // 0 where none came
  verdicts: Verdict[]; // one for each event, or none
  detail: string; // why events without a verdict are lost
  retryAfterMs: number;
}

function unanswered(status: number, detail: string): Answer {
  return { status, verdicts: [], detail, retryAfterMs: 0 };
}

async function read(response: Response): Promise<Answer> {
  const content = (await response.json().catch(() => undefined)) as { events?: Verdict[]; detail?: string } | undefined;
  const after = response.headers.get("Retry-After") ?? "";
  const wait = /^\d+$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - Date.now();
  return {
    status: response.status, verdicts: Array.isArray(content?.events) ? content.events : [],
    detail: content?.detail ?? `HTTP ${response.status}, not an answer of runmetrics; does the URL lead to it?`,
    retryAfterMs: Math.max(0, wait) || 0,
  };
}

/** Whether an answer may be another one a while later. */
function passing(status: number): boolean {
  return status === 0 || [408, 429, 502, 503, 504].includes(status);
}

/** Doubles, with jitter so that many functions do not come back at once. */
function backoff(attempt: number): number {
  return Math.min(longestPause, firstPause * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** What an error says. That of fetch hides the reason in its cause. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof Error && cause.message ? `${message} (${cause.message})` : message;
}

/** Makes text a token of a subject: every byte outside A-Za-z0-9_- is written %XX. */
export function encodeToken(text: string): string {
  const whole = text.replace(/\p{Cs}/gu, "\ufffd"); // half a character cannot be encoded
  return encodeURIComponent(whole).replace(/[.!~*'()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The UUID that runmetrics knows a run by, in every store and in Dataverse. */
export function runKey({ campaignId, runId, phase }: RunNames): string {
  return uuid5("2a44673b-1e04-50f1-806d-cbd4b561aedb", [campaignId, runId, phase].map(encodeToken).join("/"));
}

/** The id of an attempt. Where it would be too long, a UUID takes its place. */
function executionId(run: RunNames, agentId: string, attempt: number): string {
  const id = `${agentId}/${attempt}`;
  return id.length <= 128 ? id : uuid5(runKey(run), id);
}

/** A random UUID. Node 18 has no global crypto. */
function randomId(): string {
  const hex = () => Math.floor(Math.random() * 16).toString(16);
  return globalThis.crypto?.randomUUID?.() ?? "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, hex);
}

function uuid5(namespace: string, name: string): string {
  const space = namespace.replace(/-/g, "").match(/../g)!.map((byte) => parseInt(byte, 16));
  const hash = sha1([...space, ...new TextEncoder().encode(name)]);
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  const hex = hash.slice(0, 16).map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** SHA-1, which not every runtime has, and none at once. */
function sha1(message: number[]): number[] {
  const padded = new DataView(new ArrayBuffer(((message.length + 8) >> 6 << 6) + 64));
  [...message, 0x80].forEach((byte, i) => padded.setUint8(i, byte));
  padded.setUint32(padded.byteLength - 4, message.length * 8);
  const rotate = (x: number, n: number) => (x << n) | (x >>> (32 - n));
  let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (let block = 0; block < padded.byteLength; block += 64) {
    const words = Array.from({ length: 16 }, (_, i) => padded.getUint32(block + 4 * i));
    for (let i = 16; i < 80; i++) {
      words.push(rotate(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1));
    }
    let [a, b, c, d, e] = state as [number, number, number, number, number];
    for (let i = 0; i < 80; i++) {
      const [mixed, constant] =
        i < 20 ? [(b & c) | (~b & d), 0x5a827999] : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
      [a, b, c, d, e] = [(rotate(a, 5) + mixed + e + constant + words[i]!) | 0, a, rotate(b, 30), c, d];
    }
    state = [a, b, c, d, e].map((word, i) => (word + state[i]!) | 0);
  }
  return state.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}
