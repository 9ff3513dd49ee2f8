import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { check, dataverse, makeKey, row, set, type } from "./harness.mjs";

const api = dataverse();
const call = (name, ...targets) =>
  api.callAction({
    collection: set,
    actionName: "Microsoft.Dynamics.CRM." + name,
    action: { Targets: targets.map((target) => ({ "@odata.type": type, ...target })) },
  });
const all = async () => (await api.retrieveMultiple({ collection: set, orderBy: ["apex_runid"] })).value;
const ids = [randomUUID(), randomUUID(), randomUUID()];

await check("UpsertMultiple by id creates and updates", async () => {
  assert.ok(!(await call("UpsertMultiple", ...ids.map((id, i) => ({ apex_campaignmetricid: id, ...row("r" + i) })))));
  await call("UpsertMultiple", { apex_campaignmetricid: ids[1], apex_phase: "p2" }, { apex_campaignmetricid: randomUUID(), ...row("r3") });
  const rows = await all();
  assert.deepEqual(rows.map((r) => r.apex_runid), ["r0", "r1", "r2", "r3"]);
  assert.deepEqual(rows.map((r) => r.apex_phase), ["p1", "p2", "p1", "p1"]);
  assert.equal(rows[1].apex_campaignmetricid, ids[1]);
});

await check("UpsertMultiple with a bad row stores none", async () => {
  await assert.rejects(
    call("UpsertMultiple", { apex_campaignmetricid: ids[0], apex_phase: "lost" }, { apex_campaignmetricid: ids[1], apex_phase: "x".repeat(17) }),
    { status: 400, code: "0x80044331" },
  );
  assert.equal((await api.retrieve({ collection: set, key: ids[0] })).apex_phase, "p1");
});

await check("UpsertMultiple by an alternate key creates and updates", async () => {
  await makeKey(api, "apex_campaignmetric", "apex_RunKey", ["apex_runid"]);
  const target = (runID, data) => ({ "@odata.id": `${set}(apex_runid='${runID}')`, ...data });
  await call("UpsertMultiple", target("r0", { apex_phase: "p5" }), target("r9", { apex_name: "new", apex_phase: "p6" }));
  const rows = await all();
  assert.deepEqual(rows.map((r) => r.apex_runid + r.apex_phase), ["r0p5", "r1p2", "r2p1", "r3p1", "r9p6"]);
});

await check("an alternate key that is in the body, too, updates but does not create", async () => {
  const target = (runID) => ({ "@odata.id": `${set}(apex_runid='${runID}')`, apex_runid: runID, apex_phase: "p7" });
  await call("UpsertMultiple", target("r0"));
  assert.equal((await api.retrieve({ collection: set, key: ids[0] })).apex_phase, "p7");
  await assert.rejects(call("UpsertMultiple", target("r10")), { status: 400, code: "0x80040216" });
});

await check("UpdateMultiple updates all or none", async () => {
  await call("UpdateMultiple", { apex_campaignmetricid: ids[0], apex_tokensin: 5 }, { apex_campaignmetricid: ids[1], apex_tokensin: 6 });
  await assert.rejects(
    call("UpdateMultiple", { apex_campaignmetricid: ids[0], apex_tokensin: 7 }, { apex_campaignmetricid: randomUUID(), apex_tokensin: 8 }),
    { status: 404 },
  );
  assert.deepEqual((await all()).map((r) => r.apex_tokensin), [5, 6, null, null, null]);
});

await check("CreateMultiple returns the ids in order", async () => {
  const { Ids } = await call("CreateMultiple", row("s2"), row("s1"));
  assert.equal((await api.retrieve({ collection: set, key: Ids[0] })).apex_runid, "s2");
  assert.equal((await api.retrieve({ collection: set, key: Ids[1] })).apex_runid, "s1");
});

await check("a target without its type, and what standard tables do not have, are refused", async () => {
  await assert.rejects(
    api.callAction({ collection: set, actionName: "Microsoft.Dynamics.CRM.UpsertMultiple", action: { Targets: [row("r7")] } }),
    { status: 400 },
  );
  await assert.rejects(call("DeleteMultiple", { apex_campaignmetricid: ids[0] }), { status: 501 });
});
