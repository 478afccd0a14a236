// Parses and type-checks scripts of Flux: a JSON array of texts on standard input, an array of booleans on standard output.
// The package wants a bundler that loads its WebAssembly; here its glue is given the instance by hand.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const folder = path.join(process.argv[2], "@influxdata", "flux-lsp-browser");
const views = /^cached(\w+)Memory0 = .*$/gm;
const text = fs.readFileSync(path.join(folder, "flux-lsp-browser_bg.js"), "utf8");
const given = `let wasm; export function give(made) { wasm = made; ${text.match(views).join(" ")} }`;
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "flux-"));
const glue = path.join(scratch, "glue.mjs");
fs.writeFileSync(glue, text.replace(views, "").replace(/^import \* as wasm from .*$/m, given));
const checker = await import(glue);
fs.rmSync(scratch, { recursive: true });

const bytes = fs.readFileSync(path.join(folder, "flux-lsp-browser_bg.wasm"));
const { instance } = await WebAssembly.instantiate(bytes, { "./flux-lsp-browser_bg.js": checker });
checker.give(instance.exports);
const scripts = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(scripts.map((script) => new checker.Flux(script).is_valid())));
