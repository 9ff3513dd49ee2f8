/** What the recipe makes of what a runtime says, against a service whose broker gives it a publisher's rights. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createConnection, createServer, type AddressInfo, type Socket } from "node:net";
import test, { type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { api } from "../load/settle.js";
import { connectionOptions, encodeToken, Publisher, runKey } from "./runmetrics.js";
import type { Options, RunEvent, RunNames } from "./runmetrics.js";

test("run keys are those of runmetrics", () => {
  const list = JSON.parse(readFileSync(process.env.RUNKEYS!, "utf8")) as (RunNames & { runKey: string })[];
  assert.ok(list.length > 10);
  for (const { runKey: want, ...run } of list) assert.equal(runKey(run), want);
});

test("tokens have only what NATS and runmetrics agree on", () => {
  assert.equal(encodeToken("aZ09_-.~!'()* /🚀"), "aZ09_-%2E%7E%21%27%28%29%2A%20%2F%F0%9F%9A%80");
});

test("a run is told from its beginning to its end", async (t) => {
  const { publisher, errors } = await open(t);
  const names = { campaignId: "told", runId: "by a handle", phase: "1" };
  const run = await publisher.startRun({ ...names, agentsExpected: 2 });
  await run.agentStarted("writer", { agentName: "Writer" });
  await run.agentFinished({ agentId: "writer", status: "failed", error: "x".repeat(2047) + "🚀", costUSD: NaN });
  await run.agentStarted("writer");
  await run.agentFinished({ agentId: "writer", status: "succeeded", tokensIn: 3, costUSD: 0.1 + 0.2 });
  await run.agentFinished({ agentId: "reviewer", status: "cancelled", latencyMs: 1.5 });
  await run.agentFinished({ agentId: "reviewer", status: "cancelled", latencyMs: 1.5, attempt: 2 });
  await run.finishRun();
  assert.equal(await publisher.flush(), 0);
  assert.deepEqual(errors, []);
  const record = await shown(names, (metrics) => metrics.executions === 4 && metrics.status === "completed");
  assert.equal(record.costUSD, 0.3);
  assert.equal(record.costComplete, false);
  assert.ok(record.agentsSuccessful === 1 && record.agentsCancelled === 1 && record.agentsExpected === 2);
  assert.ok(Number(record.latencyMaxMs) < 5_000);
});

test("what would be a dead letter is named at once, with every bad field", async (t) => {
  const { publisher, errors } = await open(t);
  const names = { campaignId: "c", runId: "r", phase: "1" };
  const good: RunEvent = { ...names, id: "e", occurredAt: new Date(), agentId: "a", latencyMs: 1 };
  for (const [bad, says] of [
    [{ campaignId: "", runId: "x".repeat(65), phase: "a\nb", id: "\ud83d" }, /id must.*campaignId must.*phase must/],
    [{ agentId: undefined, latencyMs: undefined }, /agentId must.*latencyMs must be a number from 0 to/],
    [{ tokensIn: NaN, tokensOut: 1.5, assetsGenerated: -1, attempt: 0 }, /attempt must.*tokensIn.*tokensOut.*assets/],
    [{ costUSD: "$1" }, /costUSD must/], [{ costUSD: -1 }, /costUSD must/], [{ costUSD: Infinity }, /costUSD must/],
    [{ occurredAt: "yesterday" }, /occurredAt must/], [{ error: "x".repeat(70_000) }, /over 65,536/],
  ] as [Partial<RunEvent>, RegExp][]) {
    await publisher.publish({ ...good, ...bad } as RunEvent);
    assert.match(errors.pop()?.message ?? "nothing", says);
  }
  assert.equal(await publisher.close(), 8);
  await publisher.publish(good);
  assert.match(errors.pop()!.message, /the publisher is closed/);
});

test("what is told while the connection is away is stored when it is back", async (t) => {
  const link = await linkTo(t, new URL(process.env.NATS_URL!));
  const { publisher, errors } = await open(t, { maxInFlight: 3 }, link.url);
  const names = { campaignId: "told", runId: "through a cut", phase: "1" };
  const run = await publisher.startRun(names);
  const ended = (i: number) => run.agentFinished({ agentId: `a${i}`, status: "succeeded", latencyMs: i });
  await ended(0);
  link.cut();
  const rest = Promise.all(Array.from({ length: 49 }, (_, i) => ended(i + 1)));
  await link.restore();
  await rest;
  assert.equal(await publisher.close(), 0, String(errors[0]));
  await shown(names, (metrics) => metrics.executions === 50);
});

test("close gives up on what it cannot get rid of in time, and tells of it", async (t) => {
  const link = await linkTo(t, new URL(process.env.NATS_URL!));
  const { publisher, errors } = await open(t, {}, link.url);
  const run = await publisher.startRun({ campaignId: "told", runId: "cut off", phase: "1" });
  await publisher.flush();
  link.cut();
  await run.finishRun();
  assert.equal(await publisher.close(200), 1);
  assert.match(errors[0]!.message, /was not stored: (there is no connection to NATS|the connection to NATS broke)/);
});

/** A way to the broker that can be cut. */
async function linkTo(t: TestContext, broker: URL) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(Number(broker.port), broker.hostname);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket.on("error", () => undefined).on("close", () => other.destroy()));
      socket.pipe(other);
    }
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const cut = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  await listen(0);
  t.after(cut);
  const url = new URL(broker);
  const { port } = server.address() as AddressInfo;
  url.port = String(port);
  return { url: url.href, cut, restore: () => listen(port) };
}

async function open(t: TestContext, options: Options = {}, url = process.env.NATS_URL!) {
  const errors: Error[] = [];
  const { username: user, password: pass } = new URL(url);
  const nc = await connect(connectionOptions({ servers: url, user, pass, reconnectTimeWait: 50 }));
  t.after(() => nc.close());
  return { errors, publisher: new Publisher(nc, { onError: (error) => void errors.push(error), ...options }) };
}

type Shown = Record<string, unknown>;

/** Waits until the record of a run is like this. */
async function shown({ campaignId, runId }: RunNames, wanted: (metrics: Shown) => boolean): Promise<Shown> {
  for (const until = Date.now() + 30_000; ; await sleep(50)) {
    const response = await fetch(`${api}/api/metrics/campaign?${new URLSearchParams({ campaignId, runId })}`);
    const { metrics } = (await response.json()) as { metrics: Shown[] };
    if (metrics[0] && wanted(metrics[0])) return metrics[0];
    if (Date.now() > until) throw new Error(`shown is ${JSON.stringify(metrics)}`);
  }
}
