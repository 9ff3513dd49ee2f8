// What the scripts share: the clients, set up as their documentation says, and one line for each check.
import { ConfidentialClientApplication } from "@azure/msal-node";
import { DynamicsWebApi } from "dynamics-web-api";

export const url = process.env.DATAVERSE_URL;
export const scopes = [url + "/.default"];
export const set = "apex_campaignmetrics";
export const type = "Microsoft.Dynamics.CRM.apex_campaignmetric";

export function application(clientSecret = "emulator", clientId = "emulator") {
  return new ConfidentialClientApplication({
    auth: {
      clientId,
      clientSecret,
      authority: url + "/contoso.onmicrosoft.example",
      knownAuthorities: [new URL(url).host],
    },
  });
}

const authorised = application();

export function dataverse(options) {
  return new DynamicsWebApi({
    serverUrl: url + "/",
    dataApi: { version: "9.2" },
    onTokenRefresh: async () => (await authorised.acquireTokenByClientCredential({ scopes })).accessToken,
    ...options,
  });
}

export async function check(what, f) {
  try {
    await f();
  } catch (error) {
    console.log("FAILED: " + what);
    throw error;
  }
  console.log(what);
}

// A row with a run id of its own.
export function row(runID, more) {
  return { apex_name: "run " + runID, apex_campaignid: "c1", apex_runid: runID, apex_phase: "p1", ...more };
}

export function label(text) {
  return {
    "@odata.type": "Microsoft.Dynamics.CRM.Label",
    LocalizedLabels: [{ "@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", Label: text, LanguageCode: 1033 }],
  };
}

// Makes an alternate key of the table's columns, and waits until it can be used.
export async function makeKey(api, table, name, columns) {
  const keys = { collection: "EntityDefinitions", key: `LogicalName='${table}'`, navigationProperty: "Keys" };
  await api.create({ ...keys, data: { SchemaName: name, DisplayName: label(name), KeyAttributes: columns } });
  for (;;) {
    const { value } = await api.retrieve({ ...keys, select: ["SchemaName", "EntityKeyIndexStatus"] });
    const status = value.find((key) => key.SchemaName === name).EntityKeyIndexStatus;
    if (status === "Active") return;
    if (status === "Failed") throw new Error("the key's index failed");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Makes the next requests meet a fault.
export async function inject(fault) {
  const answer = await fetch(url + "/emulator/faults", { method: "POST", body: JSON.stringify(fault) });
  if (answer.status !== 201) throw new Error("inject: " + (await answer.text()));
}
