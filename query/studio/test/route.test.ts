import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { NextRequest } from "next/server";
import { GET, POST } from "../route";
import { answering, gateway, key, nowhere, readKey, report, until, url } from "./harness";

const page = "https://studio.example.com/api/metrics/campaign";

beforeEach(() => {
  Object.assign(process.env, { RUNMETRICS_URL: url, RUNMETRICS_KEY: key });
});

// The handlers use what every Request has.
const get = (below = "", init: RequestInit = {}) => GET(new Request(page + below, init) as NextRequest);
const post = (body: string, more: Record<string, string> = {}, below = "") => {
  const headers = { "Content-Type": "application/json", ...more };
  return POST(new Request(page + below, { method: "POST", body, headers }) as NextRequest);
};

interface Refused {
  status: number;
  detail: string;
  errors?: { location: string }[];
}

async function problemOf(response: Response): Promise<Refused> {
  assert.equal(response.headers.get("Content-Type"), "application/problem+json");
  const problem = (await response.json()) as Refused;
  assert.equal(problem.status, response.status);
  return problem;
}

test("a page reads and writes without a key of its own", async () => {
  const written = await post(JSON.stringify(report("routed")), { "Idempotency-Key": "one" });
  assert.equal(written.status, 201);
  const again = await post(JSON.stringify(report("routed")), { "Idempotency-Key": "one" });
  assert.equal(((await again.json()) as { version: number }).version, 1);
  const list = (await (await get("?limit=1&runId=routed")).json()) as { metrics: { runId: string }[] };
  assert.deepEqual(list.metrics.map((record) => record.runId), ["routed"]);
  const run = (await (await get("/studio/runs/routed")).json()) as { total: { tokensIn: number } };
  assert.equal(run.total.tokensIn, 1000);
});

test("names may hold what a URL must encode", async () => {
  const [campaignId, runId] = ["a/b c?&%", "r/🚀#1"];
  assert.equal((await post(JSON.stringify(report(runId, { campaignId })))).status, 201);
  const run = await get(`/${encodeURIComponent(campaignId)}/runs/${encodeURIComponent(runId)}`);
  assert.equal(run.status, 200);
  assert.equal(((await run.json()) as { metrics: { runId: string }[] }).metrics[0]?.runId, runId);
});

test("problems pass with every bad field, and so do statuses", async () => {
  const bad = await problemOf(await post(JSON.stringify(report("bad", { costUSD: -1, tokensIn: -1 }))));
  const named = bad.errors?.map((error) => error.location).sort();
  assert.deepEqual([bad.status, named], [400, ["body.costUSD", "body.tokensIn"]]);
  assert.equal((await problemOf(await get("?limit=0"))).status, 400);
  assert.equal((await problemOf(await get("/nobody/runs/nothing"))).status, 404);
  assert.equal((await problemOf(await post("{}", { "Content-Type": "text/plain" }))).status, 415);
});

test("only the headers that matter go through, in both directions", async () => {
  const there = gateway(answering(503, { "Retry-After": "7", "Content-Type": "application/problem+json", ETag: '"1"',
    "Set-Cookie": "upstream=1", Server: "upstream", "WWW-Authenticate": "Bearer" }, '{"status":503}'));
  process.env.RUNMETRICS_URL = (await there).url;
  const response = await get("?limit=1", { headers: { Cookie: "session=secret", Authorization: "Bearer of-studio",
    Accept: "application/json", "If-None-Match": '"0"', "Last-Event-ID": "9", "X-Forwarded-For": "10.0.0.1" } });
  const [seen] = (await there).seen;
  const sent = Object.keys(seen?.headers ?? {}).sort();
  for (const name of ["cookie", "x-forwarded-for", "x-api-key"]) assert.ok(!sent.includes(name), sent.join());
  assert.deepEqual([seen?.headers.authorization, seen?.headers.accept, seen?.headers["if-none-match"],
    seen?.headers["last-event-id"], seen?.path],
  [`Bearer ${key}`, "application/json", '"0"', "9", "/api/metrics/campaign?limit=1"]);
  const returned = [...response.headers.keys()].sort();
  assert.deepEqual(returned, ["content-type", "etag", "retry-after", "x-content-type-options"]);
});

test("what did not change is not sent again", async () => {
  process.env.RUNMETRICS_URL = (await gateway(answering(304, { ETag: '"7"' }, ""))).url;
  const response = await get("", { headers: { "If-None-Match": '"7"' } });
  assert.deepEqual([response.status, response.headers.get("ETag"), await response.text()], [304, '"7"', ""]);
});

test("no path leads elsewhere", async () => {
  const { url, seen } = await gateway();
  process.env.RUNMETRICS_URL = url;
  const tricks = ["/%2e%2e", "/..%2f..%2freadyz", "/x/runs/..%2f..%2f..", "/x/runs/%2E%2E", "/%5c..%5c", "/x%00/summary",
    "/%", "/", "//evil.example.com/summary", "/x/runs", "/x/runs/y/z", "/../../../readyz", "/../campaign/../../metrics",
    "/x/other"];
  for (const below of tricks) {
    const response = await get(below);
    // A segment of dots is resolved by whoever reads the URL, and one that decodes to a slash stays within its segment.
    assert.equal(response.status, 404, below);
    await problemOf(response);
  }
  assert.deepEqual(seen.filter(({ path }) => !path.startsWith("/api/metrics/campaign")), []);
  assert.equal((await problemOf(await post("{}", {}, "/stream"))).status, 405);
});

test("nothing that a page gets has the key, whatever is wrong with it", async () => {
  const answers: Response[] = [];
  process.env.RUNMETRICS_KEY = "studio.wrong-secret";
  answers.push(await get());
  process.env.RUNMETRICS_KEY = readKey;
  answers.push(await post(JSON.stringify(report("refused"))));
  process.env.RUNMETRICS_KEY = "not\na header";
  answers.push(await get());
  process.env.RUNMETRICS_KEY = key;
  for (const wrong of ["", "runmetrics", "file:///etc/passwd", await nowhere()]) {
    process.env.RUNMETRICS_URL = wrong;
    answers.push(await get());
  }
  const { url } = await gateway(answering(307, { Location: "https://elsewhere.example.com/" }, ""));
  process.env.RUNMETRICS_URL = url;
  answers.push(await get());
  assert.deepEqual(answers.map((answer) => answer.status), [500, 500, 503, 503, 503, 503, 502, 502]);
  for (const answer of answers) {
    const text = JSON.stringify([await problemOf(answer), ...answer.headers]);
    for (const secret of [key, readKey, "wrong-secret", "not\\na", url]) assert.ok(!text.includes(secret), text);
  }
});

test("a body that no report can have is not sent on", async () => {
  const { url, seen } = await gateway();
  process.env.RUNMETRICS_URL = url;
  assert.equal((await problemOf(await post(" ".repeat(65 * 1024)))).status, 413);
  assert.equal(seen.length, 0);
});

test("a stream comes through piece by piece, and ends there when the client leaves", async () => {
  let ended = false;
  let more: (text: string) => void = () => undefined;
  const { url } = await gateway((_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(": first\n\n");
    more = (text) => response.write(text);
    response.on("close", () => (ended = true));
  });
  process.env.RUNMETRICS_URL = url;
  const leaving = new AbortController();
  const response = await get("/stream", { signal: leaving.signal });
  assert.equal(response.headers.get("Cache-Control"), "no-store, no-transform");
  const reader = response.body?.getReader();
  const next = async () => new TextDecoder().decode((await reader?.read())?.value);
  assert.equal(await next(), ": first\n\n");
  more("data: second\n\n");
  assert.equal(await next(), "data: second\n\n");
  leaving.abort();
  await until("the stream has ended", () => ended);
});
