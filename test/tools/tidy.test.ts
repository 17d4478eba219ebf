import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MUTANTS } from "../simulation/mutants.ts";

/** The rules of this repository that no compiler knows. Each failure lists the offenders. */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FILES = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: ROOT })
  .toString()
  .split("\n")
  .filter((path) => path !== "");
const TEXTS = new Map<string, string>();

function text(path: string): string {
  const known = TEXTS.get(path) ?? readFileSync(join(ROOT, path), "utf8");
  TEXTS.set(path, known);
  return known;
}

const isTest = (path: string): boolean => path.endsWith(".test.ts") || path.startsWith("test/");
const CODE = FILES.filter((path) => /\.(ts|js)$/.test(path));
const SOURCES = CODE.filter((path) => !isTest(path));

/** What a file imports, at once or when it is needed: repository paths as they are, packages by name. */
function imports(path: string): { readonly to: string; readonly typeOnly: boolean; readonly later: boolean }[] {
  const from = (to: string): string => (to.startsWith(".") ? posix.normalize(posix.join(dirname(path), to)) : to);
  const found = text(path).matchAll(/^(?:import|export)\s+(type\s+)?([^"';]*?from\s+)?"([^"]+)"/gm);
  const later = text(path).matchAll(/\bimport\("([^"]+)"\)/g);
  return [
    ...[...found].map(([, type, names = "", to = ""]) => ({
      to: from(to),
      typeOnly: type !== undefined || /^\{\s*type [^,}]*(,\s*type [^,}]*)*,?\s*\}/.test(names),
      later: false,
    })),
    ...[...later].map(([, to = ""]) => ({ to: from(to), typeOnly: false, later: true })),
  ];
}

test("the top level is the architecture, and nothing else", () => {
  const top = new Set(FILES.map((path) => path.split("/")[0]));
  const wanted = ["node", "operator", "charts", "crds", "test", ".ci"];
  const files = [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "Dockerfile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
  ];
  const tools = [".gitignore", ".dockerignore", ".prettierignore"];
  expect([...top].sort()).toEqual([...wanted, ...files, ...tools].sort());
});

/** The import table of node/ARCHITECTURE.md: where a folder's imports may lead. The first rule that fits a file holds. */
const TABLE: readonly { readonly from: RegExp; readonly to: RegExp }[] = [
  { from: /^node\/raft\//, to: /^node\/raft\// },
  { from: /^node\/machine\//, to: /^node\/machine\// },
  { from: /^node\/codec\//, to: /^(node\/(codec|raft|machine)\/|node:zlib$)/ },
  { from: /^node\/client\//, to: /^(node\/client\/|node:|undici$|ws$|typebox|@peculiar\/x509$)/ },
  { from: /^node\/(config|observability)\//, to: /^(node\/(config|observability|client)\/|node:|[a-z@])(?!ode\/)/ },
  {
    from: /^node\/(storage|transport)\//,
    to: /^(node\/(storage|transport|codec|raft|machine|client)\/|node:|classic-level$)/,
  },
  {
    from: /^node\/runtime\//,
    to: /^(node\/(runtime|codec|raft|machine|client)\/|node\/observability\/(channels|events)\.ts$|node\/(storage|transport)\/[^/]+$|node:)/,
  },
  { from: /^node\/security\//, to: /^(node\/(security|client|transport)\/|node:)/ },
  { from: /^node\/service\//, to: /^(node\/(service|runtime|machine|codec|client|config|security)\/|node:)/ },
  { from: /^operator\/(api|plan|resources)\//, to: /^(operator\/(api|plan|resources)\/|typebox$)/ },
  { from: /^operator\//, to: /^(operator\/|node\/client\/|node:|[a-z@](?!ode\/))/ },
  { from: /^node\//, to: /^(?!operator\/|test\/)/ },
];

test("imports go where the import table lets them", () => {
  const wrong = SOURCES.filter((path) => path.endsWith(".ts")).flatMap((path) => {
    const rule = TABLE.find(({ from }) => from.test(path));
    return imports(path)
      .filter(({ to }) => rule?.to.test(to) !== true)
      .map(({ to }) => `${path} imports ${to}`);
  });
  expect(wrong).toEqual([]);
});

test("no file imports itself by way of others", () => {
  // Types are gone at run time: files that only name each other's types cannot meet half made.
  const graph = new Map(
    SOURCES.map((path) => [path, imports(path).flatMap(({ to, typeOnly }) => (typeOnly ? [] : [to]))]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(cycles).toEqual([]);
});

test("the libraries of tracing are loaded by nobody who did not switch it on", () => {
  const tracing = "node/observability/tracing.ts";
  const wrong = SOURCES.filter((path) =>
    imports(path).some(
      ({ to, typeOnly, later }) =>
        (to.startsWith("@opentelemetry/") && path !== tracing) || (to === tracing && !typeOnly && !later),
    ),
  );
  expect(wrong).toEqual([]);
});

test("every source file is used", () => {
  const roots = ["node/index.ts", "node/main.ts", "node/client/index.ts", "node/cli/concord.js", "operator/main.ts"];
  const used = new Set(CODE.flatMap((path) => imports(path).map(({ to }) => to)));
  expect(SOURCES.filter((path) => !used.has(path) && !roots.includes(path))).toEqual([]);
});

test("every mutant of the simulator finds the place that it breaks", () => {
  const places = MUTANTS.map(({ name, file, find }) => [name, text(file).split(find).length - 1]);
  expect(places.filter(([, count]) => count !== 1)).toEqual([]);
});

test("files have names in kebab-case", () => {
  const named = CODE.filter((path) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/.test(posix.basename(path)));
  expect(named).toEqual([]);
});

test("no source file is longer than 450 lines", () => {
  expect(SOURCES.filter((path) => text(path).split("\n").length > 450)).toEqual([]);
});

test("nothing stands in for something that is missing, or silences a check without a reason", () => {
  const banned = [
    /\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/,
    /@ts-(?:ignore|nocheck)/,
    /\bas an[y]\b/,
    /eslint-disable(?!.*--)/,
    /\b(?:it|test|describe)\.only\b/,
  ];
  const found = CODE.filter((path) => path !== "test/tools/tidy.test.ts").flatMap((path) =>
    text(path)
      .split("\n")
      .flatMap((line, at) => (banned.some((each) => each.test(line)) ? [`${path}:${at + 1} ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});

/** Packages that no source file imports, and why they are here. */
const TOOLS: Readonly<Record<string, string>> = {
  "@types/node": "types of Node.js",
  "@types/ws": "types of ws",
  node: "runs the scripts on Node.js 24 whatever is installed",
  typescript: "builds and checks",
  eslint: "lints",
  prettier: "formats",
  "swagger-ui-dist": "the build takes its files over",
};

test("every dependency is used", () => {
  const { dependencies, devDependencies } = JSON.parse(text("package.json")) as Record<string, Record<string, string>>;
  const imported = CODE.flatMap((path) => text(path).match(/"[^"\n]+"/g) ?? []).map((each) => each.slice(1, -1));
  const unused = Object.keys({ ...dependencies, ...devDependencies }).filter(
    (name) => !(name in TOOLS) && !imported.some((each) => each === name || each.startsWith(`${name}/`)),
  );
  expect(unused).toEqual([]);
});
