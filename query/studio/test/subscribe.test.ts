import assert from "node:assert/strict";
import { after, test } from "node:test";
import { subscribeMetrics, writeCampaignMetrics } from "../runmetrics";
import type { CampaignMetrics, Connection, StreamFilter } from "../runmetrics";
import { busy, gateway, key, readKey, report, restart, until, url, type Fault } from "./harness";

/** What a subscription has told. */
function watch(filter: StreamFilter, address: string, withKey = readKey) {
  const controller = new AbortController();
  after(() => controller.abort());
  const records: CampaignMetrics[] = [];
  const connections: Connection[] = [];
  const states: string[] = [];
  const ended = subscribeMetrics(filter, {
    onMetrics: (record) => records.push(record),
    onConnection: (connection) => connections.push(connection),
    onState: (state) => states.push(state.state),
  }, controller.signal, { url: address, key: withKey });
  const runs = () => records.map((record) => record.runId);
  const live = (times = 1) => until("live", () => connections.filter(({ state }) => state === "live").length >= times);
  return { records, connections, states, controller, ended, runs, live };
}

async function write(campaignId: string, runId: string, tokensIn = 1) {
  const result = await writeCampaignMetrics(report(runId, { campaignId, tokensIn }), { url, key });
  assert.ok(result.ok, JSON.stringify(result));
}

/** A record as the service would send it. */
function event(runId: string, version: number): string {
  return `event: metrics\ndata: ${JSON.stringify({ ...report(runId), runKey: runId, version })}\nid: at ${version}\n\n`;
}

/** Answers with a stream of these bytes, and stays open. */
function streaming(...pieces: string[]): Fault {
  return (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const piece of pieces) response.write(piece);
  };
}

const ready = (complete: boolean) => `event: ready\ndata: {"records":0,"complete":${complete},"resumed":true}\n\n`;

test("the newest records come first, then every change within a second", async () => {
  for (const run of ["one", "two", "three"]) await write("changes", run);
  await write("others", "four");
  const seen = watch({ campaignId: "changes", limit: 2 }, url);
  await seen.live();
  assert.deepEqual(seen.runs(), ["two", "three"]);
  await until("its state", () => seen.states.length > 0);
  await write("others", "five");
  await write("changes", "two", 5);
  const began = Date.now();
  await until("the change", () => seen.records.length === 3);
  assert.ok(Date.now() - began < 1_000, `told after ${Date.now() - began} ms`);
  const last = seen.records.at(-1);
  assert.deepEqual([last?.runId, last?.tokensIn, last?.version], ["two", 5, 2]);
  seen.controller.abort();
  await seen.ended;
  assert.deepEqual(seen.connections.map(({ state }) => state), ["connecting", "live", "ended"]);
});

test("it goes on after the server was started again, with what changed meanwhile, each once", async () => {
  const { url: between, seen: requests } = await gateway();
  await write("restarted", "before");
  const seen = watch({ campaignId: "restarted" }, between);
  await seen.live();
  await restart();
  await write("restarted", "meanwhile");
  await seen.live(2);
  await write("restarted", "after");
  await until("all of them", () => seen.records.length >= 3);
  assert.deepEqual(seen.runs(), ["before", "meanwhile", "after"]);
  assert.equal(seen.connections[2]?.state, "waiting");
  assert.equal(requests[0]?.headers["last-event-id"], undefined);
  assert.match(String(requests.at(-1)?.headers["last-event-id"]), /^20/);
});

test("of two records of a run the older one is not told", async () => {
  const sent = event("x", 2) + event("x", 1) + event("x", 2) + event("y", 1) + event("x", 3);
  const { url } = await gateway(streaming(sent, ready(true)));
  const seen = watch({}, url);
  await seen.live();
  assert.deepEqual(seen.records.map(({ runId, version }) => `${runId} ${version}`), ["x 2", "y 1", "x 3"]);
});

test("events may be cut anywhere, and lines may end as the standard allows", async () => {
  const bytes = (`retry: 1\n: comment\n\n${event("é🚀", 1)}${event("x", 1)}${ready(true)}`).replaceAll("\n", "\r\n");
  const { url } = await gateway(async (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const byte of Buffer.from(bytes)) {
      response.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
  });
  const seen = watch({}, url);
  await seen.live();
  assert.deepEqual(seen.runs(), ["é🚀", "x"]);
});

test("where more changed than could be sent, the listing is read", async () => {
  for (const run of ["one", "two"]) await write("missed", run);
  const { url: between } = await gateway(streaming(ready(false)));
  const seen = watch({ campaignId: "missed", limit: 10 }, between);
  await seen.live();
  assert.deepEqual(seen.runs(), ["one", "two"]);
});

test("a busy server is asked again, no sooner than it says", async () => {
  const { url: between, seen: requests } = await gateway(busy(1), busy(0));
  const seen = watch({ limit: 0 }, between);
  await seen.live();
  const waits = seen.connections.filter(({ state }) => state === "waiting");
  assert.deepEqual(waits.map(({ problem }) => problem?.status), [503, 503]);
  assert.ok((requests[1]?.at ?? 0) - (requests[0]?.at ?? 0) >= 950);
});

test("what the server refuses ends it, with the problem", async () => {
  const wrongKey = watch({}, url, "nobody.secret");
  const wrongFilter = watch({ limit: 501 }, url);
  const nowhere = watch({}, "runmetrics");
  await Promise.all([wrongKey.ended, wrongFilter.ended, nowhere.ended]);
  const ends = [wrongKey, wrongFilter, nowhere].map(({ connections }) => connections.at(-1));
  assert.deepEqual(ends.map((end) => [end?.state, end?.problem?.kind, end?.problem?.status]),
    [["ended", "refused", 401], ["ended", "refused", 400], ["ended", "unsent", 0]]);
  assert.equal(ends[1]?.problem?.errors[0]?.location, "query.limit");
});

test("an error of a handler is reported, and not taken for one of the connection", async (t) => {
  const thrown: unknown[] = [];
  const { queueMicrotask } = globalThis; // an uncaught error would be the end of the test
  t.mock.method(globalThis, "queueMicrotask", (call: () => void) => queueMicrotask(() => {
    try {
      call();
    } catch (error) {
      thrown.push(error);
    }
  }));
  const { url, seen: requests } = await gateway(streaming(event("x", 1), event("y", 1), ready(true)));
  const controller = new AbortController();
  after(() => controller.abort());
  const told: string[] = [];
  void subscribeMetrics({}, {
    onMetrics: ({ runId }) => {
      told.push(runId);
      if (runId === "x") throw new Error("of the handler");
    },
  }, controller.signal, { url });
  await until("both", () => told.length === 2 && thrown.length === 1);
  assert.deepEqual([told, String(thrown[0]), requests.length], [["x", "y"], "Error: of the handler", 1]);
});
