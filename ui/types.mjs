// Writes src/api/schema.d.ts from the OpenAPI document on standard input; with --check, says whether it is current.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const file = new URL("src/api/schema.d.ts", import.meta.url);
let text = "";
for await (const piece of process.stdin.setEncoding("utf8")) text += piece;
const document = JSON.parse(text);

// What the dashboard does not go by would only make the file long: refusals are all read in one way, by client.ts.
for (const item of Object.values(document.paths)) {
  for (const operation of Object.values(item)) {
    for (const status of Object.keys(operation.responses ?? {})) if (status >= "300") delete operation.responses[status];
    delete operation.description;
  }
}
const head = "// Written by `make ui-types` from /openapi.json.\n";
const written = head + astToString(await openapiTS(document, { exportType: true }));
if (!process.argv.includes("--check")) {
  writeFileSync(file, written);
} else if (readFileSync(file, "utf8") !== written) {
  console.error("ui/src/api/schema.d.ts is not what /openapi.json says: `make ui-types` writes it anew");
  process.exit(1);
}
