// Everything that must hold before a change goes in. Each step says what it found.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const SERVED = "served/session-client.js";
const SERVED_AT_MOST = 3072;
const PLACEHOLDER = '"__SLIDECAR_POLICY__"';

const SOME_POLICY = { accessTokenTtlMs: 3_720_000, heartbeatIntervalMs: 295_000, sessionTimeoutMs: 4_035_500, refreshThresholdMs: 1_815_000 };

const brotliOf = (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
const step = (name) => console.log(`\n== ${name}`);
const run = (...command) => execFileSync(command[0], command.slice(1), { stdio: "inherit" });
const tool = (name, ...options) => run(`node_modules/.bin/${name}`, ...options);
const filesOf = (folder) => readdirSync(folder, { recursive: true }).filter((name) => /\.(js|ts)$/.test(name)).sort();
const fail = (problem) => {
  console.error(`client/check: ${problem}`);
  process.exitCode = 1;
};

step("types");
tool("tsc", "--noEmit");
tool("tsc", "--noEmit", "-p", "tests");

step("dist is what the sources say");
const fresh = mkdtempSync(join(tmpdir(), "slidecar-client-"));
run("node", "build.mjs", fresh);
const names = new Set([...filesOf(fresh), ...filesOf("dist")]);
for (const name of names) {
  const read = (folder) => {
    try {
      return readFileSync(join(folder, name), "utf8");
    } catch {
      return undefined;
    }
  };
  if (read(fresh) !== read("dist")) fail(`dist/${name} is not what the sources make: npm run build`);
}
rmSync(fresh, { recursive: true });
console.log(`${names.size} files`);

step("sizes: bytes, gzip, brotli");
for (const name of filesOf("dist").filter((name) => name.endsWith(".js"))) {
  const bytes = readFileSync(join("dist", name));
  const brotli = brotliOf(bytes);
  console.log(`${name.padEnd(26)}${[bytes.length, gzipSync(bytes, { level: 9 }).length, brotli].map((size) => String(size).padStart(8)).join("")}`);
}
const served = readFileSync(join("dist", SERVED), "utf8");
const places = served.split(PLACEHOLDER).length - 1;
const filled = brotliOf(served.replace(PLACEHOLDER, JSON.stringify(SOME_POLICY)));
console.log(`${"with a policy in its place".padEnd(42)}${String(filled).padStart(8)}`);
if (filled > SERVED_AT_MOST) fail(`dist/${SERVED} with a policy has ${filled} bytes with brotli, ${SERVED_AT_MOST} at most`);
if (places !== 1) fail(`dist/${SERVED} has ${PLACEHOLDER} ${places} times, not once`);

step("tests");
tool("vitest", "run");

step("package");
if (readFileSync("LICENSE", "utf8") !== readFileSync("../LICENSE", "utf8")) fail("LICENSE is not that of the project: cp ../LICENSE .");
tool("publint", "--strict");
tool("attw", "--pack", ".", "--profile", "esm-only");
console.log(process.exitCode ? "\n== failed" : "\n== all passed");
