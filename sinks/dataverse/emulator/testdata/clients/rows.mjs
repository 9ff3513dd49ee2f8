import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { check, dataverse, makeKey, row, set } from "./harness.mjs";

const api = dataverse();
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
let key;

await check("WhoAmI answers with three ids", async () => {
  const me = await api.callFunction("WhoAmI");
  for (const name of ["UserId", "BusinessUnitId", "OrganizationId"]) assert.match(me[name], uuid);
});

await check("create returns the id", async () => {
  key = await api.create({ collection: set, data: row("r1", { apex_agentstotal: 7, apex_costusd: 1.23456 }) });
  assert.match(key, uuid);
});

await check("create with return=representation returns the row", async () => {
  const made = await api.create({
    collection: set,
    data: row("r2", { apex_createdat: "2026-01-02T03:04:05Z" }),
    returnRepresentation: true,
  });
  assert.match(made.apex_campaignmetricid, uuid);
  assert.match(made["@odata.etag"], /^W\/"\d+"$/);
  assert.equal(made.apex_runid, "r2");
  assert.equal(new Date(made.apex_createdat).toISOString(), "2026-01-02T03:04:05.000Z");
});

await check("create with an id that exists is refused", async () => {
  await assert.rejects(api.create({ collection: set, data: row("r3", { apex_campaignmetricid: key }) }), {
    status: 412,
    code: "0x80040237",
  });
});

await check("retrieve returns the selected columns", async () => {
  const got = await api.retrieve({ collection: set, key, select: ["apex_runid", "apex_agentstotal", "apex_costusd", "apex_tokensin"] });
  assert.equal(got.apex_runid, "r1");
  assert.equal(got.apex_agentstotal, 7);
  assert.equal(got.apex_costusd, 1.23456);
  assert.equal(got.apex_tokensin, null);
  assert.equal(got.apex_campaignmetricid, key);
  assert.ok(!("apex_name" in got));
});

await check("update changes what it names", async () => {
  await api.update({ collection: set, key, data: { apex_agentstotal: 8 } });
  const got = await api.retrieve({ collection: set, key });
  assert.equal(got.apex_agentstotal, 8);
  assert.equal(got.apex_runid, "r1");
  const shown = await api.update({ collection: set, key, data: { apex_phase: "p2" }, returnRepresentation: true, select: ["apex_phase"] });
  assert.equal(shown.apex_phase, "p2");
});

await check("update of a row that does not exist is refused", async () => {
  await assert.rejects(api.update({ collection: set, key: randomUUID(), data: { apex_phase: "p2" } }), {
    status: 404,
    code: "0x80040217",
    message: / With Id = .* Does Not Exist$/,
  });
});

await check("one column is written, and cleared", async () => {
  await api.updateSingleProperty({ collection: set, key, fieldValuePair: { apex_agentstotal: 9 } });
  assert.equal((await api.retrieve({ collection: set, key })).apex_agentstotal, 9);
  await api.deleteRecord({ collection: set, key, property: "apex_agentstotal" });
  assert.equal((await api.retrieve({ collection: set, key })).apex_agentstotal, null);
});

await check("upsert by id creates, then updates", async () => {
  const id = randomUUID();
  await api.upsert({ collection: set, key: id, data: row("r4") });
  await api.upsert({ collection: set, key: id, data: { apex_phase: "p9" } });
  const got = await api.retrieve({ collection: set, key: id });
  assert.equal(got.apex_runid, "r4");
  assert.equal(got.apex_phase, "p9");
});

await check("upsert creates only, or updates only, on demand", async () => {
  const id = randomUUID();
  assert.equal(await api.upsert({ collection: set, key: id, data: row("r5"), ifmatch: "*" }), null);
  await assert.rejects(api.retrieve({ collection: set, key: id }), { status: 404 });
  await api.upsert({ collection: set, key: id, data: row("r5"), ifnonematch: "*" });
  assert.equal(await api.upsert({ collection: set, key: id, data: { apex_phase: "p9" }, ifnonematch: "*" }), null);
  assert.equal((await api.retrieve({ collection: set, key: id })).apex_phase, "p1");
});

await check("upsert by an alternate key creates, then updates", async () => {
  const byKey = "apex_campaignid='c7',apex_runid='it''s r6'";
  await assert.rejects(api.upsert({ collection: set, key: byKey, data: {} }), { status: 400 });
  await makeKey(api, "apex_campaignmetric", "apex_RunKey", ["apex_campaignid", "apex_runid"]);
  await api.upsert({ collection: set, key: byKey, data: { apex_name: "by key", apex_agentstotal: 1 } });
  await api.upsert({ collection: set, key: byKey, data: { apex_agentstotal: 2 } });
  const got = await api.retrieve({ collection: set, key: byKey });
  assert.equal(got.apex_runid, "it's r6");
  assert.equal(got.apex_name, "by key");
  assert.equal(got.apex_agentstotal, 2);
  await assert.rejects(api.retrieve({ collection: set, key: "apex_campaignid='c7',apex_runid='none'" }), {
    status: 404,
    code: "0x80060891",
  });
  await assert.rejects(api.create({ collection: set, data: { apex_campaignid: "c7", apex_runid: "it's r6" } }), {
    status: 412,
    code: "0x80060892",
  });
});

await check("ETags guard updates and deletes, and save reads", async () => {
  const { "@odata.etag": old } = await api.retrieve({ collection: set, key });
  await api.update({ collection: set, key, data: { apex_phase: "p3" }, ifmatch: old });
  assert.equal(await api.update({ collection: set, key, data: { apex_phase: "p4" }, ifmatch: old }), false);
  await assert.rejects(api.upsert({ collection: set, key, data: { apex_phase: "p4" }, ifmatch: old }), {
    status: 412,
    code: "0x80060882",
  });
  assert.equal(await api.deleteRecord({ collection: set, key, ifmatch: old }), false);
  const { "@odata.etag": current, apex_phase } = await api.retrieve({ collection: set, key });
  assert.equal(apex_phase, "p3");
  assert.equal(await api.retrieve({ collection: set, key, ifnonematch: current }), undefined);
});

await check("what does not fit its column is refused", async () => {
  await assert.rejects(api.update({ collection: set, key, data: { apex_phase: "x".repeat(17) } }), {
    status: 400,
    code: "0x80044331",
  });
  for (const data of [{ apex_agentstotal: 3_000_000_000 }, { apex_agentstotal: "many" }, { apex_nothing: 1 }]) {
    await assert.rejects(api.update({ collection: set, key, data }), { status: 400, code: "0x80048d19" });
  }
});

await check("delete deletes", async () => {
  await api.deleteRecord({ collection: set, key });
  await assert.rejects(api.retrieve({ collection: set, key }), { status: 404, code: "0x80040217" });
  await assert.rejects(api.deleteRecord({ collection: set, key }), { status: 404 });
});
