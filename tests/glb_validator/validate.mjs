// Prints what Khronos' validator says of glTF files, as JSON: { path: [issue, ...] }.
import { readFileSync } from "node:fs";
import validator from "gltf-validator";

const said = {};
for (const path of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(readFileSync(path)), { format: "glb" });
  said[path] = report.issues.messages;
}
console.log(JSON.stringify(said));
