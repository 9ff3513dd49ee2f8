import assert from "node:assert/strict";
import { test } from "node:test";
import { writeCampaignMetrics, type Problem, type WriteOptions, type WriteResult } from "../runmetrics";
import { answering, busy, gateway, key, nowhere, pass, readKey, report, url } from "./harness";

const options: WriteOptions = { url, key };

function problemOf(result: WriteResult): Problem {
  assert.equal(result.ok, false, JSON.stringify(result));
  return (result as { problem: Problem }).problem;
}

test("a report is stored and answered with its record", async () => {
  const sent = report("stored", { createdAt: new Date("2026-02-14T12:00:00.500Z") });
  const result = await writeCampaignMetrics(sent, options);
  assert.ok(result.ok && result.status === "stored", JSON.stringify(result));
  const { record } = result;
  assert.equal(record.costUSD, 0.0591335);
  assert.equal(record.successRate, 66.67);
  assert.equal(record.createdAt, "2026-02-14T12:00:00.5Z");
  assert.deepEqual([record.runId, record.status, record.source, record.version], ["stored", "completed", "reported", 1]);
});

test("a report that is repeated with its idempotency key is counted once", async () => {
  for (let i = 0; i < 2; i++) {
    const result = await writeCampaignMetrics(report("repeated"), { ...options, idempotencyKey: "one report" });
    assert.ok(result.ok && result.status === "stored");
    assert.equal(result.record.version, 1);
  }
  const other = await writeCampaignMetrics(report("repeated", { tokensIn: 2000 }), options);
  assert.ok(other.ok && other.status === "stored");
  assert.deepEqual([other.record.version, other.record.tokensIn], [2, 2000]);
});

test("every bad field is named", async () => {
  const bad = { ...report("bad", { agentsSuccessful: -1, costUSD: -1 }), phase: undefined, tokensIn: 1.5 };
  const problem = problemOf(await writeCampaignMetrics(bad as never, options));
  assert.deepEqual([problem.kind, problem.status], ["refused", 400]);
  const named = problem.errors.map((error) => error.location).sort();
  assert.deepEqual(named, ["body.agentsSuccessful", "body.costUSD", "body.phase", "body.tokensIn"]);
  assert.ok(problem.errors.every((error) => error.message !== "") && problem.detail.includes("costUSD"));
});

test("a server that is away is said so quickly", async () => {
  const began = Date.now();
  const problem = problemOf(await writeCampaignMetrics(report("away"), { url: await nowhere() }));
  assert.equal(problem.kind, "network");
  assert.ok(problem.idempotencyKey);
  assert.ok(Date.now() - began < 5_000);
});

test("a busy server is asked again with the same key, no sooner than it says", async () => {
  const { url, seen } = await gateway(busy(1));
  const result = await writeCampaignMetrics(report("busy"), { url, key });
  assert.ok(result.ok && result.status === "stored");
  const [first, second] = seen;
  assert.ok(first && second && seen.length === 2);
  assert.equal(first.headers["idempotency-key"], second.headers["idempotency-key"]);
  assert.ok(second.at - first.at >= 950, `asked again after ${second.at - first.at} ms`);
});

test("a server that wants more time than there is, is not waited for", async () => {
  const { url, seen } = await gateway(busy(60), busy(60));
  const problem = problemOf(await writeCampaignMetrics(report("later"), { url, key }));
  const { kind, status, retryAfterMs, detail } = problem;
  assert.deepEqual([kind, status, retryAfterMs, detail], ["unavailable", 503, 60_000, "busy"]);
  assert.equal(seen.length, 1);
});

test("a report whose answer is lost is counted once", async () => {
  const { url, seen } = await gateway((request, response) => {
    response.writeHead = () => response.destroy() as never; // stored, and nobody hears of it
    void pass(request, response);
  });
  const result = await writeCampaignMetrics(report("lost answer"), { url, key });
  assert.ok(result.ok && result.status === "stored", JSON.stringify(result));
  assert.deepEqual([result.record.version, seen.length], [1, 2]);
});

test("a server that hangs is given up in time", async () => {
  const hang = () => undefined;
  const { url } = await gateway(hang, hang, hang);
  const began = Date.now();
  const problem = problemOf(await writeCampaignMetrics(report("hang"), { url, key, timeoutMs: 300 }));
  assert.equal(problem.kind, "timeout");
  assert.ok(Date.now() - began < 5_000);
});

test("the caller can end a call, also while it waits to try again", async () => {
  const { url, seen } = await gateway(busy(10));
  const controller = new AbortController();
  const call = writeCampaignMetrics(report("ended"), { url, key, signal: controller.signal });
  while (seen.length === 0) await new Promise(setImmediate);
  controller.abort();
  assert.equal(problemOf(await call).kind, "aborted");
  const late = await writeCampaignMetrics(report("ended"), { url, key, signal: controller.signal });
  assert.equal(problemOf(late).kind, "aborted");
});

test("a wrong key and one without the right are refused, and stand in no problem", async () => {
  for (const [bad, status] of [["nobody.secret-of-nobody", 401], [readKey, 403]] as const) {
    const problem = problemOf(await writeCampaignMetrics(report("refused"), { url, key: bad }));
    assert.deepEqual([problem.kind, problem.status], ["refused", status]);
    assert.ok(!JSON.stringify(problem).includes(bad));
  }
});

test("a report that waits for the database is accepted", async () => {
  const waiting = { runKey: "f39f6b5c-ea9d-54ef-85e4-8874211c4577", stream: "RUN_EVENTS", sequence: 7 };
  const { url } = await gateway(answering(202, { "Content-Type": "application/json" }, JSON.stringify(waiting)));
  const result = await writeCampaignMetrics(report("accepted"), { url, key });
  assert.deepEqual(result, { ok: true, status: "accepted", ...waiting });
});

test("a page of somebody in between is no answer", async () => {
  const { url } = await gateway(answering(200, { "Content-Type": "text/html" }, "<title>Sign in</title>"));
  const problem = problemOf(await writeCampaignMetrics(report("login"), { url, key }));
  assert.deepEqual([problem.kind, problem.status], ["unavailable", 200]);
});

test("what cannot be sent is said, not thrown", async () => {
  const endless: Record<string, unknown> = {};
  endless.self = endless;
  for (const metrics of [endless, { ...report("big"), tokensIn: BigInt(1) }]) {
    assert.equal(problemOf(await writeCampaignMetrics(metrics as never, options)).kind, "unsent");
  }
  const problem = problemOf(await writeCampaignMetrics(report("bad key"), { url, key: "id.secret\nid.secret" }));
  assert.ok(problem.kind === "unsent" && !JSON.stringify(problem).includes("secret"));
  for (const url of [undefined, "", "runmetrics"]) {
    assert.equal(problemOf(await writeCampaignMetrics(report("no url"), { url })).kind, "unsent");
  }
});

test("a server takes URL and key from its environment, and gives the key to that URL alone", async () => {
  const { url, seen } = await gateway();
  Object.assign(process.env, { RUNMETRICS_URL: `${url}/`, RUNMETRICS_KEY: `${key}\n` });
  try {
    assert.ok((await writeCampaignMetrics(report("environment"))).ok);
    assert.equal(problemOf(await writeCampaignMetrics(report("environment"), { url })).status, 401);
  } finally {
    delete process.env.RUNMETRICS_URL;
    delete process.env.RUNMETRICS_KEY;
  }
  assert.deepEqual(seen.map(({ headers }) => headers.authorization), [`Bearer ${key}`, undefined]);
});
