/**
 * Publishes runs as CloudEvents of the package cloudevents, in every mode, over HTTP and over NATS, and compares what
 * runmetrics shows with what the plan says.
 */
import { randomUUID } from "node:crypto";
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { CloudEvent, HTTP } from "cloudevents";
import { planOf, type Step } from "../load/plan.js";
import { ask, settle } from "../load/settle.js";
import { connectionOptions, encodeToken, eventOf, type RunEvent, type RunNames } from "../node/runmetrics.js";

const nc = await connect(connectionOptions({ servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222" }));
const js = jetstream(nc);
const seed = Number(process.env.SEED ?? 1);

type Mode = (events: RunEvent[]) => Promise<void>;
const modes: Record<string, Mode> = {
  async "http-binary"(events) {
    for (const event of events) await post(HTTP.binary(enveloped(event)));
  },
  async "http-structured"(events) {
    for (const event of events) await post(HTTP.structured(enveloped(event)));
  },
  async "http-batch"(events) {
    const body = `[${events.map((event) => HTTP.structured(enveloped(event)).body).join()}]`;
    await post({ headers: { "content-type": "application/cloudevents-batch+json" }, body });
  },
  async "nats-binary"(events) {
    await Promise.all(events.map((event) => publish(event, HTTP.binary(enveloped(event)))));
  },
  async "nats-structured"(events) {
    await Promise.all(events.map((event) => publish(event, HTTP.structured(enveloped(event)))));
  },
};

/** Puts the event into an envelope, which has its id and time unless no header could hold the id. */
function enveloped(event: RunEvent): CloudEvent<object> {
  const { id, occurredAt, ...data } = event;
  const plain = /^[!-~]+$/.test(id) && !/[%"]/.test(id);
  return new CloudEvent({
    type: "com.example.told", source: "/agents", ...(plain ? { id } : {}), time: new Date(occurredAt).toISOString(),
    data: plain ? data : { ...data, id },
  });
}

const types = {
  start: "run.started", agent: "agent.started", finish: "run.finished", void: "executions.voided",
} as const;

function stepEvent(names: RunNames, step: Step): RunEvent {
  if (step.kind === "finished") {
    const id = step.execution.id.length > 128 ? randomUUID() : step.execution.id;
    return eventOf(names, step.execution, { id });
  }
  const { kind, at: occurredAt, ...fields } = step;
  return eventOf(names, { occurredAt }, { type: types[kind], ...fields });
}

interface Message {
  headers: object;
  body: unknown;
}

async function post(message: Message): Promise<void> {
  const response = await send(message.headers, message.body);
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
}

async function refuses(given: object, status: number): Promise<void> {
  const response = await send({ "content-type": "application/json", ...given }, "{}");
  if (response.status !== status) throw new Error(`${response.status}, want ${status}: ${await response.text()}`);
}

function send(headers: object, body: unknown): Promise<Response> {
  return ask("/api/events", { method: "POST", body: body as string }, headers);
}

async function publish(event: RunEvent, message: Message): Promise<void> {
  const h = headers();
  for (const [name, value] of Object.entries(message.headers)) h.set(name, String(value));
  const subject = `runs.${encodeToken(event.campaignId)}.${encodeToken(event.runId)}`;
  await js.publish(subject, message.body as string, { headers: h });
}

await Promise.all(Object.entries(modes).map(async ([name, publishAll]) => {
  const plan = planOf(seed, `${name}-${seed}`, 5, 25);
  await publishAll(plan.flatMap(({ names, steps }) => steps.map((step) => stepEvent(names, step))));
  await settle(plan, `${name}-${seed}`);
  console.log(name);
}));
await nc.close();
await refuses({ "ce-specversion": "1.0", "ce-id": "x".repeat(40_000) }, 431);
await refuses({ "ce-specversion": "1.0", "ce-id": "x".repeat(10_000) }, 400);
await refuses({ "ce-id": "x" }, 400);
