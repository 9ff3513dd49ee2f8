import assert from "node:assert/strict";
import { test } from "node:test";
import createClient from "openapi-fetch";
import type { paths } from "../api";
import { queryRecentMetrics, writeCampaignMetrics } from "../runmetrics";
import { answering, gateway, key, nowhere, readKey, report, url } from "./harness";

const options = { url, key: readKey };

test("records come newest first, as many as asked for, page by page", async () => {
  for (const day of [1, 2, 3]) {
    const daily = report(`day ${day}`, { createdAt: `2026-03-0${day}T00:00:00Z` });
    const written = await writeCampaignMetrics(daily, { url, key });
    assert.ok(written.ok);
  }
  const first = await queryRecentMetrics(2, {}, options);
  assert.ok(first.ok && first.nextCursor);
  assert.deepEqual(first.metrics.map((record) => record.runId), ["day 3", "day 2"]);
  const second = await queryRecentMetrics(2, { cursor: first.nextCursor }, options);
  assert.ok(second.ok);
  assert.deepEqual([second.metrics.map((record) => record.runId), second.nextCursor], [["day 1"], null]);
});

test("filters narrow them", async () => {
  const since = new Date("2026-03-02T00:00:00Z");
  const filter = { campaignId: "studio", since, until: "2026-03-03T00:00:00Z", status: "completed" } as const;
  const some = await queryRecentMetrics(10, filter, options);
  assert.deepEqual(some.metrics.map((record) => record.runId), ["day 2"]);
  const none = await queryRecentMetrics(10, { campaignId: "studio & sons=1" }, options);
  assert.deepEqual([none.ok, none.metrics], [true, []]);
});

test("whatever goes wrong is answered and not thrown, with no records", async () => {
  const bad = await queryRecentMetrics(501, { phase: "longer than sixteen" }, options);
  assert.deepEqual(bad.problem?.errors.map((error) => error.location).sort(), ["query.limit", "query.phase"]);
  const date = await queryRecentMetrics(1, { since: new Date(NaN) }, options);
  const away = await queryRecentMetrics(1, {}, { url: await nowhere() });
  const { url } = await gateway(answering(200, {}, '{"something":"else"}'));
  const other = await queryRecentMetrics(1, {}, { url });
  const results = [bad, date, away, other];
  assert.deepEqual(results.map(({ problem }) => problem?.kind), ["refused", "unsent", "network", "unavailable"]);
  assert.ok(results.every(({ ok, metrics }) => !ok && metrics.length === 0));
});

test("a client made from api.ts reads and writes", async () => {
  const written = await writeCampaignMetrics(report("run-1", { campaignId: "summer-sale" }), { url, key });
  assert.ok(written.ok);

  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
  const { data, error } = await client.GET("/api/metrics/campaign/{campaignId}/runs/{runId}", {
    params: { path: { campaignId: "summer-sale", runId: "run-1" } },
  });

  assert.deepEqual([data?.total?.tokensIn, data?.agents, error], [1000, [], undefined]);
  const posted = await client.POST("/api/metrics/campaign", { body: { ...report("generated client"), createdAt: null } });
  assert.equal(posted.response.status, 201, JSON.stringify(posted.error));
  const list = await client.GET("/api/metrics/campaign", { params: { query: { limit: 0 } } });
  assert.equal(list.error?.errors?.[0]?.location, "query.limit");
});
