/**
 * Publishes the events of agent runs to runmetrics over NATS JetStream. One file to copy, for Node 18 and later, with
 *
 *     npm install @nats-io/transport-node @nats-io/jetstream
 *
 *     const nc = await connect(connectionOptions({ servers: "nats://127.0.0.1:4222" })); // of @nats-io/transport-node
 *     const publisher = new Publisher(nc);
 *     process.once("SIGTERM", () => void publisher.close().finally(() => process.exit()));
 *     const run = await publisher.startRun({ campaignId: "spring", runId: "run 7", phase: "2-3", agentsExpected: 3 });
 *     await run.agentStarted("writer");
 *     await run.agentFinished({ agentId: "writer", status: "succeeded", tokensIn: 1200, costUSD: "0.0123" });
 *     await run.finishRun();
 *     await publisher.close();
 *
 * No method throws or rejects, so that metrics cannot end an agent: what was not stored goes to options.onError, by
 * default to the console, and flush and close count it. Await each call: it waits while too much is under way.
 */
import { createHash, randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { jetstream, JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import { headers, PermissionViolationError, RequestError, TimeoutError } from "@nats-io/transport-node";
import type { MsgHdrs, NatsConnection, NodeConnectionOptions } from "@nats-io/transport-node";

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
  /** W3C trace context of the caller's span. */
  traceparent?: string | undefined;
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
export interface RunEvent extends RunNames, Omit<Partial<Execution>, "occurredAt" | "traceparent"> {
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

export interface Options {
  /** Told of each event that was not stored, and why. */
  onError?: (error: Error, event: RunEvent) => void;
  /** How many events may be under way; 256 where absent. */
  maxInFlight?: number;
  /** Milliseconds for which an event is sent again; 110,000 where absent. JetStream knows repeats for two minutes. */
  patienceMs?: number;
}

/** Options of a connection that comes back after any outage, with the inbox that a publisher's rights allow. */
export function connectionOptions(options: NodeConnectionOptions): NodeConnectionOptions {
  return {
    name: "agent runtime", inboxPrefix: "_INBOX_publish", maxReconnectAttempts: -1, reconnectTimeWait: 500,
    ignoreAuthErrorAbort: true, pingInterval: 20_000, noAsyncTraces: true, ...options,
  };
}

/** Milliseconds without an acknowledgement after which an event is sent again. */
const ackTimeout = 5_000;
const firstPause = 100;
const longestPause = 2_000;

/** Sends events. What is not acknowledged it sends again: the same bytes under the same message id. */
export class Publisher {
  private readonly nc: NatsConnection;
  private readonly js: JetStreamClient;
  private readonly options: Options;
  private inFlight = 0;
  private lost = 0; // since the last flush
  private complainedAt = 0; // at most once a second
  private closeBy = Infinity;
  private connected = true;
  private readonly waiting: (() => void)[] = []; // for room
  private readonly flushing: (() => void)[] = []; // until nothing is under way
  private readonly unacknowledged = new Set<(error: Error) => void>();

  constructor(nc: NatsConnection, options: Options = {}) {
    this.nc = nc;
    this.js = jetstream(nc, { timeout: ackTimeout });
    this.options = options;
    void this.watch();
  }

  /** Says that a run begins. */
  async startRun(
    run: RunNames & { agentsExpected?: number | undefined }, more: Circumstances = {},
  ): Promise<RunHandle> {
    const event = eventOf(run, more, { type: "run.started", agentsExpected: run.agentsExpected });
    await this.publish(event, more.traceparent);
    return new RunHandle(this, run);
  }

  /** Sends an event as soon as there is room. */
  async publish(event: RunEvent, traceparent?: string): Promise<void> {
    let message: Message;
    try {
      if (this.closeBy < Infinity) throw new Error("the publisher is closed");
      message = messageOf(event, traceparent);
    } catch (error) {
      return this.giveUp(event, error);
    }
    if (this.inFlight < (this.options.maxInFlight ?? 256)) this.inFlight++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    void this.deliver(message).catch((error) => this.giveUp(event, error)).finally(() => this.release());
  }

  /** Waits until nothing is under way. Returns how many events were lost since the last time. */
  async flush(): Promise<number> {
    if (this.inFlight > 0) await new Promise<void>((resolve) => this.flushing.push(resolve));
    const lost = this.lost;
    this.lost = 0;
    return lost;
  }

  /** Takes no more events, tries for limitMs to have the rest stored, and closes the connection. */
  async close(limitMs = 10_000): Promise<number> {
    this.closeBy = Date.now() + limitMs;
    const lost = await this.flush();
    await this.nc.close();
    return lost;
  }

  private async deliver(message: Message): Promise<void> {
    const giveUpAt = Date.now() + (this.options.patienceMs ?? 110_000);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.send(message);
      } catch (error) {
        const pause = Math.min(longestPause, firstPause * 2 ** attempt) * (0.5 + Math.random() / 2);
        if (!passing(error) || Date.now() + pause > Math.min(giveUpAt, this.closeBy)) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** Sends once. What it is given without a connection, and what it had sent before one broke, the client forgets. */
  private async send({ subject, body, msgID, headers }: Message): Promise<void> {
    if (!this.connected) throw new Disconnected("there is no connection to NATS");
    let broken!: (error: Error) => void;
    const cut = new Promise<never>((_, reject) => (broken = reject));
    this.unacknowledged.add(broken);
    try {
      await Promise.race([this.js.publish(subject, body, { msgID, headers }), cut]);
    } finally {
      this.unacknowledged.delete(broken);
    }
  }

  /** Follows the connection until it is closed. */
  private async watch(): Promise<void> {
    for await (const { type } of this.nc.status()) {
      if (type === "reconnect") this.connected = true;
      if (type !== "disconnect") continue;
      this.connected = false;
      for (const broken of this.unacknowledged) broken(new Disconnected("the connection to NATS broke"));
    }
  }

  private release(): void {
    const next = this.waiting.shift();
    if (next) return next(); // takes the room over
    if (--this.inFlight === 0) for (const flushed of this.flushing.splice(0)) flushed();
  }

  private giveUp(event: RunEvent, cause: unknown): void {
    this.lost++;
    const { campaignId, runId, id } = event;
    const error = new Error(`event ${id} of run ${runId} of ${campaignId} was not stored: ${textOf(cause)}`, { cause });
    if (this.options.onError) this.options.onError(error, event);
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
    await this.publisher.publish(event, more.traceparent);
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
    await this.publisher.publish(event, execution.traceparent);
  }

  /** Says that the run is over. What its agents still tell counts all the same. */
  async finishRun(outcome: Outcome = "completed", more: Circumstances = {}): Promise<void> {
    const event = eventOf(this.run, more, { type: "run.finished", outcome });
    await this.publisher.publish(event, more.traceparent);
  }
}

/** Makes an event of what was said of it. Its texts are cut to fit: an error message may have any length. */
export function eventOf(run: RunNames, said: Partial<Execution>, fields: Partial<RunEvent>): RunEvent {
  const { traceparent: _, ...more } = said;
  const { campaignId, runId, phase } = run;
  const fit = (text: string | undefined, length: number) =>
    text == null ? undefined : String(text).slice(0, length).replace(/[\0\p{Cs}]/gu, "\ufffd");
  return {
    ...more, id: said.id ?? randomUUID(), campaignId, runId, phase, occurredAt: said.occurredAt ?? new Date(),
    agentName: fit(said.agentName, 256), model: fit(said.model, 256), error: fit(said.error, 2048), ...fields,
  };
}

interface Message {
  subject: string;
  msgID: string;
  headers: MsgHdrs;
  body: Uint8Array;
}

function messageOf(event: RunEvent, traceparent = ""): Message {
  check(event);
  const body = new TextEncoder().encode(JSON.stringify(event));
  if (body.length > 65_536) throw new Error(`it has ${body.length} bytes, over 65,536`);
  const { campaignId, runId, phase, id } = event;
  const h = headers();
  if (/^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(traceparent)) h.set("traceparent", traceparent);
  const msgID = uuid.test(id) ? id : [campaignId, runId, phase, id].map(encodeToken).join("/");
  return { subject: `runs.${encodeToken(campaignId)}.${encodeToken(runId)}`, msgID, headers: h, body };
}

/** The greatest number in each field. */
const greatest = {
  attempt: 1e6, agentsExpected: 1e6, latencyMs: 2 ** 31 - 1, tokensIn: 1e9, tokensOut: 1e9, assetsGenerated: 1e9,
};

/** Throws what would make the event a dead letter, of which only runmetrics would tell. */
function check(event: RunEvent): void {
  const bad: string[] = [];
  const name = (field: "id" | "campaignId" | "runId" | "phase" | "agentId", length: number) => {
    const value: unknown = event[field];
    if (typeof value === "string" && value !== "" && value.length <= length && !/[\p{Cc}\p{Cs}]/u.test(value)) return;
    bad.push(`${field} must have 1 to ${length} characters, no control characters`);
  };
  name("id", 128), name("campaignId", 64), name("runId", 64), name("phase", 16);
  const { type = "agent.finished", occurredAt, costUSD } = event;
  if (type.startsWith("agent.")) name("agentId", 128);
  for (const field of Object.keys(greatest) as (keyof typeof greatest)[]) {
    const value: unknown = event[field];
    if (value == null && (field !== "latencyMs" || type !== "agent.finished")) continue;
    const low = field === "attempt" || field === "agentsExpected" ? 1 : 0;
    const right = field === "latencyMs" ? Number.isFinite(value) : Number.isInteger(value);
    if (!right || (value as number) < low || (value as number) > greatest[field]) {
      bad.push(`${field} must be a number from ${low} to ${greatest[field]}`);
    }
  }
  const unknown = costUSD == null || Number.isNaN(costUSD); // written as null
  if (!unknown && !(Number(costUSD) >= 0 && Number(costUSD) <= 1e6)) bad.push("costUSD must be from 0 to 10^6");
  if (Number.isNaN(new Date(occurredAt).getTime())) bad.push("occurredAt must be a time");
  if (bad.length > 0) throw new Error(bad.join("; "));
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

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

function uuid5(namespace: string, name: string): string {
  const hash = createHash("sha1").update(Buffer.from(namespace.replace(/-/g, ""), "hex")).update(name).digest();
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

class Disconnected extends Error {}

/** Whether an error may go away by itself. JetStream also says 503 of a full stream, which takes longer to mend. */
function passing(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.status === 503 && error.code !== fullStream;
  return error instanceof Disconnected || error instanceof TimeoutError || isUnheard(error);
}

const fullStream = 10_077;

function isUnheard(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof RequestError && cause.isNoResponders();
}

/** What an error means, and what to do. */
function textOf(error: unknown): string {
  if (isUnheard(error)) return "no stream takes it; run `runmetrics setup` or start `runmetrics run`";
  if (error instanceof TimeoutError) return `the stream did not acknowledge it within ${ackTimeout} ms`;
  if (error instanceof JetStreamApiError) return `the stream does not take it: ${error.message}`;
  if (error instanceof RequestError && error.cause instanceof PermissionViolationError) return error.cause.message;
  return error instanceof Error ? error.message : String(error);
}
