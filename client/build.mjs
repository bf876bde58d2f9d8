// Writes dist/ (or the folder given): the modules as they are, their types, and the one file that slidecar serves.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { minify } from "terser";

const out = process.argv[2] ?? "dist";
const common = { target: "es2022", charset: "utf8", logLevel: "warning" };
rmSync(out, { recursive: true, force: true });

const modules = ["flavour", "policy", "keepalive", "dialog", "react", "index"].map((name) => `src/${name}.ts`);
await build({ ...common, entryPoints: modules, outdir: out, format: "esm" });
execFileSync("node_modules/.bin/tsc", ["--emitDeclarationOnly", "--outDir", out], { stdio: "inherit" });
for (const inner of ["flavour", "served"]) rmSync(`${out}/${inner}.d.ts`);

// The served file leaves out what only the package offers; our own names in it are short, as nobody else reads them.
const flavour = {
  name: "flavour",
  setup: ({ onLoad }) => onLoad({ filter: /\/flavour\.ts$/ }, () => ({ contents: "export const IS_SERVED = true", loader: "ts" })),
};
const bundle = await build({
  ...common,
  entryPoints: ["src/served.ts"],
  bundle: true,
  write: false,
  format: "iife",
  plugins: [flavour],
  mangleProps: /^(keepAlive|shared|getSnapshot|subscribe|extend|policySource|remainingMs|fallback|endpoints|source)$/,
});
const { code } = await minify(bundle.outputFiles[0].text, {
  ecma: 2020,
  toplevel: true,
  compress: { passes: 5, unsafe: true, unsafe_arrows: true, unsafe_math: true, pure_getters: true, keep_fargs: false, directives: true },
});
mkdirSync(`${out}/served`);
writeFileSync(`${out}/served/session-client.js`, `${code.replace(/^"use strict";/, "")}\n`);
