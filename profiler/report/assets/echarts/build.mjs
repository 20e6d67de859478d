// Bundles what entry.mjs names into echarts.min.js and notes in bundle.json what it is made of.
// `npm install && npm run build` in a copy of this folder; a test holds echarts.min.js against bundle.json.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const versionOf = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
const versions = Object.fromEntries(["echarts", "zrender", "tslib", "esbuild"].map((name) => [name, versionOf(name)]));
await build({
  entryPoints: ["entry.mjs"],
  outfile: "echarts.min.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "echarts",
  target: "es2020",
  charset: "ascii",
  legalComments: "none",
  banner: {
    js: `/* Apache ECharts ${versions.echarts} (Apache-2.0) with zrender ${versions.zrender} (BSD-3-Clause) and ` +
      `tslib ${versions.tslib} (0BSD): licences beside this file in the profiler's source. */`,
  },
});
const bundle = readFileSync("echarts.min.js");
const sha256 = createHash("sha256").update(bundle).digest("hex");
writeFileSync("bundle.json", JSON.stringify({ versions, bytes: bundle.length, sha256 }, null, 2) + "\n");
