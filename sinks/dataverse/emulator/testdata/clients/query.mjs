import assert from "node:assert/strict";
import { check, dataverse, row, set, type } from "./harness.mjs";

const api = dataverse();
const total = 5201;

await check(`CreateMultiple makes ${total} rows`, async () => {
  for (let first = 0; first < total; first += 1000) {
    const Targets = [];
    for (let i = first; i < Math.min(first + 1000, total); i++) {
      const more = { apex_agentstotal: i, apex_costusd: i / 100, apex_createdat: new Date(Date.UTC(2026, 0, 1) + i * 1000) };
      Targets.push({ "@odata.type": type, ...row("r" + String(i).padStart(5, "0"), more) });
    }
    const { Ids } = await api.callAction({ collection: set, actionName: "Microsoft.Dynamics.CRM.CreateMultiple", action: { Targets } });
    assert.equal(Ids.length, Targets.length);
  }
});

const runs = ({ value }) => value.map((r) => r.apex_runid).join(" ");

await check("filter, orderBy, select and top find rows", async () => {
  for (const [filter, want] of [
    ["apex_agentstotal lt 2", "r00000 r00001"],
    ["apex_agentstotal ge 5200 or apex_runid eq 'r00007'", "r00007 r05200"],
    ["not (apex_agentstotal gt 1)", "r00000 r00001"],
    ["apex_costusd eq 0.07", "r00007"],
    ["startswith(apex_runid,'r0519') and apex_agentstotal ne 5190 and apex_agentstotal le 5192", "r05191 r05192"],
    ["contains(apex_name,'0004') and endswith(apex_name,'8')", "r00048"],
    ["apex_createdat eq 2026-01-01T00:00:03Z", "r00003"],
    ["apex_tokensin eq null and apex_agentstotal eq 4", "r00004"],
    ["Microsoft.Dynamics.CRM.In(PropertyName='apex_runid',PropertyValues=['r00001','r00003','nothing'])", "r00001 r00003"],
    ["apex_runid eq 'it''s none'", ""],
  ]) {
    assert.equal(runs(await api.retrieveMultiple({ collection: set, select: ["apex_runid"], filter, orderBy: ["apex_runid"] })), want, filter);
  }
  const last = await api.retrieveMultiple({ collection: set, select: ["apex_runid"], orderBy: ["apex_phase asc", "apex_agentstotal desc"], top: 3 });
  assert.equal(runs(last), "r05200 r05199 r05198");
  assert.deepEqual(Object.keys(last.value[0]).filter((name) => !name.includes("@")).sort(), ["apex_campaignmetricid", "apex_runid"]);
});

await check("a query ends at 5000 rows, and goes on by its next link", async () => {
  const request = { collection: set, select: ["apex_runid"], orderBy: ["apex_runid"] };
  const first = await api.retrieveMultiple(request);
  assert.equal(first.value.length, 5000);
  const second = await api.retrieveMultiple(request, first["@odata.nextLink"]);
  assert.equal(second.value.length, total - 5000);
  assert.equal(second.value[0].apex_runid, "r05000");
  assert.equal(second["@odata.nextLink"], undefined);
});

await check("pages of a chosen size bring each row once", async () => {
  const request = { collection: set, select: ["apex_runid"], filter: "apex_agentstotal ge 1000", maxPageSize: 1000 };
  const seen = new Set();
  const sizes = [];
  for (let page = await api.retrieveMultiple(request); ; page = await api.retrieveMultiple(request, page["@odata.nextLink"])) {
    sizes.push(page.value.length);
    page.value.forEach((r) => seen.add(r.apex_runid));
    if (!page["@odata.nextLink"]) break;
  }
  assert.deepEqual(sizes, [1000, 1000, 1000, 1000, 201]);
  assert.equal(seen.size, 4201);
  const all = await api.retrieveAll({ collection: set, select: ["apex_runid"], maxPageSize: 2000 });
  assert.equal(all.value.length, total);
});

await check("counts end at 5000", async () => {
  const page = await api.retrieveMultiple({ collection: set, select: ["apex_runid"], count: true, maxPageSize: 1 });
  assert.equal(page["@odata.count"], 5000);
  const few = await api.retrieveMultiple({ collection: set, filter: "apex_agentstotal lt 12", count: true });
  assert.equal(few["@odata.count"], 12);
  assert.equal(await api.count({ collection: set }), 5000);
  assert.equal(await api.count({ collection: set, filter: "apex_agentstotal lt 12" }), 12);
});

await check("a query that is too long for a URL goes as a batch", async () => {
  const filter = Array.from({ length: 300 }, (_, i) => `apex_runid eq 'r${String(i).padStart(5, "0")}'`).join(" or ");
  assert.ok(filter.length > 2000);
  assert.equal((await api.retrieveMultiple({ collection: set, select: ["apex_runid"], filter })).value.length, 300);
});

await check("what is wrong in a query is refused", async () => {
  for (const bad of [{ filter: "apex_runid eq" }, { filter: "apex_nothing eq 1" }, { select: ["apex_nothing"] }]) {
    await assert.rejects(api.retrieveMultiple({ collection: set, ...bad }), { status: 400 });
  }
  await assert.rejects(api.retrieveMultiple({ collection: "apex_nothings" }), { status: 404, code: "0x8006088a" });
});
