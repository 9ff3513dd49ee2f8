/** What the recipe does with answers that runmetrics gives seldom, or that others give in its place. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import test, { type TestContext } from "node:test";
import { Publisher, runKey, type PublishError, type RunEvent, type RunNames } from "./runmetrics.js";

const names = { campaignId: "c", runId: "r", phase: "1" };

test("run keys are those of runmetrics", () => {
  const list = JSON.parse(readFileSync(process.env.RUNKEYS!, "utf8")) as (RunNames & { runKey: string })[];
  assert.ok(list.length > 10);
  for (const { runKey: want, ...run } of list) assert.equal(runKey(run), want);
});

test("refused events are named, and never sent again", async (t) => {
  const s = await serve(t, (_, response) => answer(response, 202, { events: [accepted, refused] }));
  const run = await s.publisher.startRun(names);
  await run.agentFinished({ agentId: "writer", status: "succeeded", latencyMs: -1 });
  assert.equal(await s.publisher.flush(), 1);
  assert.equal(await s.publisher.flush(), 0);
  assert.equal(s.bodies.length, 1);
  const [error] = s.errors;
  assert.deepEqual([error?.event.id, error?.reason, error?.field], ["writer/1", "invalid", "latencyMs"]);
  assert.match(error!.message, /event writer\/1 of run r of c was not stored: invalid: latencyMs must be 0 or more/);
});

test("a server that is away for a while gets the same bytes again, not before it asks for them", async (t) => {
  const at: number[] = [];
  const s = await serve(t, (request, response) => {
    at.push(performance.now());
    if (at.length === 1) return answer(response, 503, { detail: "away" }, { "Retry-After": "1" });
    if (at.length === 2) return void request.socket.destroy();
    if (at.length === 3) return answer(response, 429, {}, { "Retry-After": "0" });
    if (at.length === 4) return answer(response, 408, {});
    answer(response, 202, { events: [accepted] });
  });
  await s.publisher.publish(event());
  assert.equal(await s.publisher.flush("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 0);
  assert.equal(new Set(s.bodies).size, 1);
  assert.equal(s.bodies.length, 5);
  assert.ok(at[1]! - at[0]! >= 990, `${at[1]! - at[0]!} ms`);
  assert.equal(s.headers[4]!.authorization, "Bearer some.key");
  assert.match(String(s.headers[4]!.traceparent), /^00-0af/);
});

test("what lasts longer than patience is told of each event", async (t) => {
  const s = await serve(t, (_, response) => answer(response, 503, { detail: "the stream is full" }), 300);
  await s.publisher.publish(event());
  await s.publisher.publish(event());
  assert.equal(await s.publisher.flush(), 2);
  assert.match(s.errors[1]!.message, /the stream is full/);
  const away = await serve(t, (request) => void request.socket.destroy(), 300);
  await away.publisher.publish(event());
  assert.equal(await away.publisher.flush(), 1);
  assert.match(away.errors[0]!.message, /no answer: fetch failed/);
});

test("what will not change is not asked for again", async (t) => {
  for (const [status, body, says] of [
    [401, { title: "Unauthorized", detail: "the API key is unknown" }, /the API key is unknown/],
    [200, "<html>log in</html>", /HTTP 200, not an answer of runmetrics/],
    [404, "no", /HTTP 404, not an answer/],
  ] as const) {
    const s = await serve(t, (_, response) => answer(response, status, body));
    await s.publisher.publish(event());
    assert.equal(await s.publisher.flush(), 1);
    assert.match(s.errors[0]!.message, says);
    assert.equal(s.bodies.length, 1);
  }
});

test("what cannot be sent at all is told at once, and no key is quoted", async () => {
  for (const [options, says] of [
    [{ url: "runmetrics.example.com" }, /the URL must be/],
    [{ url: "http://127.0.0.1:1", key: "se\ncret" }, /the API key is/],
  ] as const) {
    const errors: Error[] = [];
    const publisher = new Publisher({ ...options, onError: (error) => void errors.push(error) });
    await publisher.publish(event());
    assert.equal(await publisher.flush("00-\n"), 1);
    assert.match(errors[0]!.message, says);
    assert.doesNotMatch(errors[0]!.message, /cret/);
  }
});

test("batches have a thousand events at most, and fit through a gateway that takes less", async (t) => {
  const s = await serve(t, (_, response) => {
    const events = JSON.parse(s.bodies.at(-1)!) as unknown[];
    if (events.length > 300) return answer(response, 413, "too large");
    answer(response, 202, { events: events.map(() => accepted) });
  });
  for (let i = 0; i < 1_001; i++) await s.publisher.publish(event());
  assert.equal(await s.publisher.flush(), 0);
  const counts = s.bodies.map((body) => (JSON.parse(body) as unknown[]).length);
  assert.deepEqual(counts, [1000, 500, 250, 250, 500, 250, 250, 1]);
  s.bodies.length = 0;
  const great = () => s.publisher.publish({ ...event(), error: "漢".repeat(20_000) });
  await Promise.all(Array.from({ length: 200 }, great));
  assert.equal(await s.publisher.flush(), 0);
  assert.ok(s.bodies.length >= 3 && s.bodies.every((body) => Buffer.byteLength(body) <= 5_000_000));
});

test("what JSON cannot hold is not taken for zero", async (t) => {
  const s = await serve(t, (_, response) => answer(response, 202, { events: [accepted] }));
  await s.publisher.publish({ ...event(), tokensIn: NaN, costUSD: NaN });
  await s.publisher.publish({ ...event(), error: "x".repeat(70_000) });
  assert.equal(await s.publisher.flush(), 1);
  assert.match(s.bodies[0]!, /"tokensIn":"NaN".*"costUSD":null/);
  assert.match(s.errors[0]!.message, /over 65536/);
});

const accepted = { status: "accepted" };
const refused = { status: "refused", reason: "invalid", field: "latencyMs", detail: "latencyMs must be 0 or more" };
let made = 0;

function event(): RunEvent {
  return { ...names, id: `e${made++}`, occurredAt: new Date(), agentId: "a", status: "succeeded", latencyMs: 1 };
}

function answer(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A publisher of a server that answers like this once it has the body. */
async function serve(t: TestContext, handle: Handler, patienceMs = 20_000) {
  const bodies: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const errors: PublishError[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    bodies.push(Buffer.concat(chunks).toString());
    headers.push(request.headers);
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const publisher = new Publisher({ url, key: " some.key\n", patienceMs, onError: (error) => void errors.push(error) });
  return { publisher, bodies, headers, errors };
}
