import assert from "node:assert/strict";
import { check, dataverse, inject, row, set } from "./harness.mjs";

const api = dataverse();
const read = () => api.retrieveMultiple({ collection: set, top: 1 });

await check("429 reaches the caller with the time to wait", async () => {
  await inject({ kind: "throttle", times: 1, retryAfter: "17s" });
  await assert.rejects(read(), (error) => {
    assert.equal(error.status, 429);
    assert.equal(error.code, "0x80072322");
    assert.equal(error.headers["retry-after"], "17");
    return true;
  });
  await read();
});

await check("an expired token is 401", async () => {
  await inject({ kind: "expired-token", times: 1 });
  await assert.rejects(read(), { status: 401 });
  await read();
});

await check("500, and the HTML of a gateway, are errors", async () => {
  for (const status of [500, 502, 503]) {
    await inject({ kind: "error", times: 1, status });
    await assert.rejects(read(), { status });
  }
  await read();
});

await check("a connection that is cut after the commit leaves the row", async () => {
  await inject({ kind: "drop-after", times: 1 });
  await assert.rejects(api.create({ collection: set, data: row("r1") }));
  assert.deepEqual((await read()).value.map((r) => r.apex_runid), ["r1"]);
});
