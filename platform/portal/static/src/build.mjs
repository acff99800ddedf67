// Writes ../dist: the stylesheet, the script, a stylesheet and script for charts, the icon sprite, the fonts and the favicon.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, context } from "esbuild";

const source = dirname(fileURLToPath(import.meta.url));
const dist = join(source, "..", "dist");
const root = join(source, "..", "..", "..", "..");
const packages = createRequire(join(root, "package.json"));

const watching = process.argv.includes("--watch");
rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, "fonts"), { recursive: true });
copyFonts();
writeFileSync(join(dist, "icons.svg"), sprite());
cpSync(join(source, "icons", "favicon.svg"), join(dist, "favicon.svg"));
await scripts();
styles();

function copyFonts() {
  for (const family of ["geist", "geist-mono"]) {
    const folder = join(dirname(packages.resolve(`@fontsource-variable/${family}/package.json`)), "files");
    for (const script of ["latin", "latin-ext"]) {
      cpSync(join(folder, `${family}-${script}-wght-normal.woff2`), join(dist, "fonts", `${family}-${script}.woff2`));
    }
  }
}

/** Returns one <symbol> per icon: those named in icons/lucide.txt, then our own. */
function sprite() {
  const lucide = join(dirname(packages.resolve("lucide-static/package.json")), "icons");
  const names = readFileSync(join(source, "icons", "lucide.txt"), "utf8").split(/\s+/).filter(Boolean);
  const own = readdirSync(join(source, "icons")).filter((name) => name.startsWith("own-"));
  const symbols = [
    ...names.map((name) => symbol(name, readFileSync(join(lucide, `${name}.svg`), "utf8"))),
    ...own.map((name) => symbol(name.slice(4, -4), readFileSync(join(source, "icons", name), "utf8"))),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
}

function symbol(name, svg) {
  const [, attributes, body] = svg.match(/<svg([^>]*)>([\s\S]*)<\/svg>/);
  const kept = ["viewBox", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"]
    .map((key) => attributes.match(new RegExp(`\\s${key}="[^"]*"`)))
    .filter(Boolean)
    .map(([text]) => text)
    .join("");
  return `<symbol id="${name}"${kept}>${body.replace(/\s*\n\s*/g, "")}</symbol>`;
}

async function scripts() {
  const options = {
    entryPoints: [join(source, "js", "portal.js"), join(source, "js", "charts.js")],
    outdir: dist,
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
  };
  if (watching) await (await context(options)).watch();
  else await build(options);
}

function styles() {
  const command = join(dirname(packages.resolve("@tailwindcss/cli/package.json")), "dist", "index.mjs");
  const flags = ["-i", join(source, "css", "portal.css"), "-o", join(dist, "portal.css"), "--minify"];
  const done = spawnSync(process.execPath, [command, ...flags, ...(watching ? ["--watch"] : [])], {
    cwd: root,
    stdio: ["inherit", "inherit", "pipe"],
    encoding: "utf8",
  });
  if (done.status !== 0) {
    process.stderr.write(done.stderr);
    process.exit(done.status ?? 1);
  }
}
