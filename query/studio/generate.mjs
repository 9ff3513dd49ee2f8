// Writes api.ts, the types of the whole API, from the OpenAPI document:
//
//     node generate.mjs ../openapi.json api.ts

import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const [, , from, to] = process.argv;
// Objects may grow, and types of TypeScript allow that anyway: said of each, it would make every misspelt name right.
const grows = (name, value) => name === "additionalProperties" && value === true;
const document = JSON.parse(await readFile(from, "utf8"), (name, value) => (grows(name, value) ? undefined : value));
const types = await openapiTS(document);
await writeFile(to, `// Made from openapi.json by generate.mjs: do not edit.\n\n${astToString(types)}`);
