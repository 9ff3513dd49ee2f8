import assert from "node:assert/strict";
import { application, check, inject, scopes, url } from "./harness.mjs";

await check("msal-node gets a token, and gets it from its cache the second time", async () => {
  const client = application();
  const first = await client.acquireTokenByClientCredential({ scopes });
  assert.equal(first.tokenType, "Bearer");
  assert.equal(first.fromCache, false);
  const minutes = (first.expiresOn - Date.now()) / 60_000;
  assert.ok(minutes > 59 && minutes <= 60, `expires in ${minutes} minutes`);
  const second = await client.acquireTokenByClientCredential({ scopes });
  assert.equal(second.fromCache, true);
  assert.equal(second.accessToken, first.accessToken);
  const answer = await fetch(url + "/api/data/v9.2/WhoAmI", { headers: { Authorization: "Bearer " + first.accessToken } });
  assert.equal(answer.status, 200);
});

await check("msal-node reports a wrong secret as invalid_client, AADSTS7000215", async () => {
  await assert.rejects(application("wrong").acquireTokenByClientCredential({ scopes }), (error) => {
    assert.equal(error.errorCode, "invalid_client");
    assert.match(error.message, /AADSTS7000215/);
    return true;
  });
});

await check("msal-node reports an unknown application as unauthorized_client, AADSTS700016", async () => {
  await assert.rejects(application("emulator", "nobody").acquireTokenByClientCredential({ scopes }), (error) => {
    assert.equal(error.errorCode, "unauthorized_client");
    assert.match(error.message, /AADSTS700016/);
    return true;
  });
});

await check("msal-node reports a scope without /.default as invalid_scope", async () => {
  await assert.rejects(application().acquireTokenByClientCredential({ scopes: [url + "/user_impersonation"] }), (error) => {
    assert.equal(error.errorCode, "invalid_scope");
    return true;
  });
});

await check("the injected wrong secret ends after its time", async () => {
  await inject({ kind: "wrong-secret", times: 1 });
  const client = application();
  await assert.rejects(client.acquireTokenByClientCredential({ scopes }), { errorCode: "invalid_client" });
  assert.ok((await client.acquireTokenByClientCredential({ scopes })).accessToken);
});

await check("without a token, the answer says where to get one", async () => {
  const answer = await fetch(url + "/api/data/v9.2/WhoAmI");
  assert.equal(answer.status, 401);
  assert.match(answer.headers.get("www-authenticate"), /^Bearer authorization_uri=https:\S+\/oauth2\/authorize, resource_id=https:/);
});
