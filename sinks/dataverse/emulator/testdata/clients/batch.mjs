import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { check, dataverse, row, set } from "./harness.mjs";

const api = dataverse();
const runs = async () => (await api.retrieveMultiple({ collection: set, orderBy: ["apex_runid"] })).value.map((r) => r.apex_runid).join(" ");

await check("a batch writes in a change set and reads beside it", async () => {
  api.startBatch();
  api.create({ collection: set, data: row("r1") });
  api.upsert({ collection: set, key: randomUUID(), data: row("r2") });
  api.retrieveMultiple({ collection: set, select: ["apex_runid"], orderBy: ["apex_runid"] });
  const [created, , read] = await api.executeBatch();
  assert.equal((await api.retrieve({ collection: set, key: created })).apex_runid, "r1");
  assert.deepEqual(read.value.map((r) => r.apex_runid), ["r1", "r2"]);
});

await check("a change set with a bad operation stores none", async () => {
  api.startBatch();
  api.create({ collection: set, data: row("r3") });
  api.create({ collection: set, data: row("r4", { apex_phase: "x".repeat(17) }) });
  await assert.rejects(api.executeBatch(), (errors) => {
    const [error] = [errors].flat();
    assert.equal(error.status, 400);
    assert.equal(error.error.code, "0x80044331");
    return true;
  });
  assert.equal(await runs(), "r1 r2");
});

await check("operations outside a change set stand alone, and go on after an error on demand", async () => {
  api.startBatch();
  api.create({ collection: set, data: row("r5"), inChangeSet: false });
  api.create({ collection: set, data: row("r6", { apex_phase: "x".repeat(17) }), inChangeSet: false });
  api.create({ collection: set, data: row("r7"), inChangeSet: false });
  const [, failed, created] = await api.executeBatch({ continueOnError: true });
  assert.equal(failed.status, 400);
  assert.match(created, /^[0-9a-f-]{36}$/);
  assert.equal(await runs(), "r1 r2 r5 r7");
});

await check("a change set refers to what it created", async () => {
  api.startBatch();
  api.create({ collection: set, data: row("r8"), contentId: "1" });
  api.update({ contentId: "$1", data: { apex_phase: "p8" } });
  await api.executeBatch();
  const { value } = await api.retrieveMultiple({ collection: set, filter: "apex_runid eq 'r8'" });
  assert.equal(value.length, 1);
  assert.equal(value[0].apex_phase, "p8");
});
