import assert from "node:assert/strict";
import { check, dataverse, label, makeKey, row } from "./harness.mjs";

const api = dataverse();
const crm = "Microsoft.Dynamics.CRM.";

await check("the table that is there is described", async () => {
  const table = await api.retrieveEntity({ key: "LogicalName='apex_campaignmetric'" });
  assert.equal(table.SchemaName, "apex_CampaignMetric");
  assert.equal(table.EntitySetName, "apex_campaignmetrics");
  assert.equal(table.PrimaryIdAttribute, "apex_campaignmetricid");
  assert.equal(table.PrimaryNameAttribute, "apex_name");
  assert.equal(table.DisplayName.UserLocalizedLabel.Label, "Campaign Metric");
  const { value } = await api.retrieveEntities({
    select: ["LogicalName", "EntitySetName"],
    filter: "LogicalName eq 'apex_campaignmetric'",
  });
  assert.deepEqual(value.map((t) => t.EntitySetName), ["apex_campaignmetrics"]);
  const none = await api.retrieveEntities({ select: ["LogicalName"], filter: "LogicalName eq 'apex_nothing'" });
  assert.deepEqual(none.value, []);
  await assert.rejects(api.retrieveEntity({ key: "LogicalName='apex_nothing'" }), { status: 404 });
});

await check("its columns are described with their limits", async () => {
  const entityKey = "LogicalName='apex_campaignmetric'";
  const { value } = await api.retrieveAttributes({ entityKey, select: ["LogicalName", "AttributeType"] });
  const kinds = Object.fromEntries(value.map((c) => [c.LogicalName, c.AttributeType]));
  assert.equal(kinds.apex_campaignmetricid, "Uniqueidentifier");
  assert.equal(kinds.apex_runid, "String");
  assert.equal(kinds.apex_agentstotal, "Integer");
  assert.equal(kinds.apex_costusd, "Decimal");
  assert.equal(kinds.apex_createdat, "DateTime");
  const decimals = await api.retrieveAttributes({ entityKey, castType: crm + "DecimalAttributeMetadata" });
  const cost = decimals.value.find((c) => c.LogicalName === "apex_costusd");
  assert.deepEqual([cost.Precision, cost.MinValue, cost.MaxValue], [5, 0, 99999.99999]);
  const phase = await api.retrieveAttribute({
    entityKey,
    attributeKey: "LogicalName='apex_phase'",
    castType: crm + "StringAttributeMetadata",
    select: ["MaxLength"],
  });
  assert.equal(phase.MaxLength, 16);
});

await check("rows are found by the table's name", async () => {
  const named = dataverse({ useEntityNames: true });
  const key = await named.create({ collection: "apex_campaignmetric", data: row("r1") });
  assert.equal((await named.retrieve({ collection: "apex_campaignmetric", key })).apex_runid, "r1");
});

await check("a table, a column and a key are made, and used", async () => {
  await api.createEntity({
    data: {
      "@odata.type": crm + "EntityMetadata",
      SchemaName: "new_Agent",
      DisplayName: label("Agent"),
      DisplayCollectionName: label("Agents"),
      OwnershipType: "UserOwned",
      IsActivity: false,
      HasActivities: false,
      HasNotes: false,
      Attributes: [
        {
          "@odata.type": crm + "StringAttributeMetadata",
          SchemaName: "new_Name",
          DisplayName: label("Name"),
          IsPrimaryName: true,
          MaxLength: 100,
          FormatName: { Value: "Text" },
          RequiredLevel: { Value: "None" },
        },
      ],
    },
  });
  await api.createAttribute({
    entityKey: "LogicalName='new_agent'",
    data: {
      "@odata.type": crm + "IntegerAttributeMetadata",
      SchemaName: "new_Number",
      DisplayName: label("Number"),
      MinValue: 1,
      MaxValue: 100,
      Format: "None",
      RequiredLevel: { Value: "None" },
    },
  });
  const { EntitySetName: collection } = await api.retrieveEntity({ key: "LogicalName='new_agent'", select: ["EntitySetName"] });
  await makeKey(api, "new_agent", "new_NumberKey", ["new_number"]);
  await api.upsert({ collection, key: "new_number=7", data: { new_name: "seven" } });
  assert.equal((await api.retrieve({ collection, key: "new_number=7" })).new_name, "seven");
  await assert.rejects(api.create({ collection, data: { new_number: 101 } }), { status: 400 });
});
