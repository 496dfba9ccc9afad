// Makes map.js and gallery.js, each one classic script, and the licences of what is in the first:
// node build.mjs FOLDER
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const common = {
  bundle: true,
  format: "iife",
  globalName: "minia_map",
  target: "es2020",
  charset: "ascii",
  minify: true,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};
const made = await build({ ...common, entryPoints: ["src/main.js"], outfile: join(folder, "map.js") });
const other = await build({ ...common, entryPoints: ["src/gallery.js"], outfile: join(folder, "gallery.js") });
if (Object.keys(other.metafile.inputs).some((path) => path.startsWith("node_modules/"))) {
  throw new Error("gallery.js has packages in it: its licences must be written too");
}
const names = new Set();
for (const path of Object.keys(made.metafile.inputs)) {
  const found = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) names.add(found[1]);
}
const texts = [...names].sort().map((name) => {
  const home = join("node_modules", name);
  const about = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no file with its licence`);
  const text = readFileSync(join(home, file), "utf8").trim();
  return `${about.name} ${about.version} (${about.license})\n\n${text}\n`;
});
const head = "map.js is made of minia_spark/explorer/web/src (BSD-3-Clause, as minia-spark) and of:\n";
writeFileSync(join(folder, "map.js.LICENSES.txt"), [head, ...texts].join(`\n${"-".repeat(72)}\n\n`));
