import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { afterAll, expect, test } from "vitest";
import {
  commandLines,
  commentExamples,
  DOCUMENTS,
  expectedOutput,
  fencedExamples,
  FILES,
  headings,
  links,
  namedPaths,
  ROOT,
  textOf,
  type Example,
} from "./documents.ts";

// What the documents say is tried here: their examples compile and run, their commands, links and paths exist.

const PACKAGE = JSON.parse(textOf("package.json")) as {
  readonly name: string;
  readonly exports: Readonly<Record<string, { readonly default: string }>>;
  readonly scripts: Readonly<Record<string, string>>;
};

/**
 * The package's entry points, by the name a program imports, and the source each is built from. Examples use the sources:
 * a missing or an old build makes no difference here.
 */
const ENTRIES = Object.entries(PACKAGE.exports).map(([subpath, { default: built }]) => ({
  subpath,
  name: PACKAGE.name + subpath.slice(1),
  source: built.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts"),
}));

const EXAMPLES: readonly Example[] = [
  ...DOCUMENTS.flatMap(fencedExamples),
  ...FILES.filter((path) => /^(node|operator)\/.*(?<!\.test)\.ts$/.test(path)).flatMap(commentExamples),
];
const titleOf = ({ path, line }: Example): string => `${path}:${line}`;

test("the entry points have sources", () => {
  expect(ENTRIES.map(({ name }) => name)).toEqual(["concord-kv", "concord-kv/client"]);
  expect(ENTRIES.filter(({ source }) => !FILES.includes(source))).toEqual([]);
});

test("every example is a fenced block of TypeScript that begins with what it imports", () => {
  expect(EXAMPLES.filter(({ code }) => !/^import \{/.test(code)).map(titleOf)).toEqual([]);
  expect(EXAMPLES.map(({ path }) => path)).toEqual(expect.arrayContaining(["README.md", "node/index.ts"]));
});

/** Type-checks the examples as files beside the document they stand in, which are nowhere but in memory. */
function complaints(examples: readonly Example[]): readonly string[] {
  const config = ts.parseConfigFileTextToJson("tsconfig.json", textOf("tsconfig.json")).config as {
    readonly compilerOptions: object;
  };
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      ...config.compilerOptions,
      noEmit: true,
      rewriteRelativeImportExtensions: false,
      allowImportingTsExtensions: true,
      noUnusedLocals: false,
      paths: Object.fromEntries(ENTRIES.map(({ name, source }) => [name, [`./${source}`]])),
    },
    ROOT,
  );
  const files = new Map(examples.map((each, at) => [join(ROOT, dirname(each.path), `example-${at}.ts`), each]));
  const host = ts.createCompilerHost(options);
  const read = host.readFile.bind(host);
  const exists = host.fileExists.bind(host);
  host.readFile = (name) => files.get(name)?.code ?? read(name);
  host.fileExists = (name) => files.has(name) || exists(name);
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files].flatMap(([name, example]) => {
    const source = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ start = 0, messageText }) => {
        const line = example.line + (source?.getLineAndCharacterOfPosition(start).line ?? 0);
        return `${example.path}:${line} ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
      },
    );
  });
}

test("examples compile", () => {
  expect(complaints(EXAMPLES)).toEqual([]);
  const wrong = { path: "README.md", line: 1, code: 'import { Concord } from "concord-kv";\nawait Concord.open(7);\n' };
  expect(complaints([wrong])).toEqual([expect.stringContaining("README.md:2 ")]);
}, 60_000);

const directory = mkdtempSync(join(tmpdir(), "concord-examples-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A program's folder, with the package installed: its entry points lead to the sources. */
function programDirectory(name: string): string {
  const program = join(directory, name);
  const installed = join(program, "node_modules", PACKAGE.name);
  mkdirSync(installed, { recursive: true });
  const files = ENTRIES.map(({ subpath, source }, at) => {
    const file = `./entry-${at}.js`;
    writeFileSync(join(installed, file), `export * from ${JSON.stringify(pathToFileURL(join(ROOT, source)).href)};\n`);
    return [subpath, file];
  });
  writeFileSync(
    join(installed, "package.json"),
    JSON.stringify({ name: PACKAGE.name, type: "module", exports: Object.fromEntries(files) }),
  );
  return program;
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(cwd: string, args: readonly string[]): Promise<Run> {
  const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const text = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, ...text }));
  });
}

const RUNNABLE = EXAMPLES.filter((example) => expectedOutput(example).length > 0);

test("the examples of the README and of the entry point say what they print", () => {
  expect(RUNNABLE.map(({ path }) => path)).toEqual(expect.arrayContaining(["README.md", "node/index.ts"]));
});

test.each(RUNNABLE.map((example, at) => [titleOf(example), example, at] as const))(
  "%s runs to its end and prints what it says",
  async (_, example, at) => {
    const program = programDirectory(String(at));
    writeFileSync(join(program, "example.mts"), example.code);
    const { status, stdout, stderr } = await run(program, ["example.mts"]);
    expect(stderr).toBe("");
    expect(stdout.trimEnd().split("\n")).toEqual(expectedOutput(example));
    expect(status).toBe(0);
  },
);

const COMMANDS = DOCUMENTS.flatMap((path) => commandLines(path).map((line) => ({ path, line })));

test("scripts that are named anywhere exist", () => {
  const texts = FILES.filter((path) => /\.(md|ts|js|ya?ml|tpl)$|^Dockerfile$|^\.ci\//.test(path));
  const named = texts.flatMap((path) =>
    [...textOf(path).matchAll(/\bnpm (?:run |(?=start\b|test\b))([a-z][a-z0-9:]*)/g)].map(([, name = ""]) => ({
      path,
      name,
    })),
  );
  expect(named.map(({ name }) => name)).toEqual(expect.arrayContaining(["start", "test", "check", "generate"]));
  expect(named.filter(({ name }) => !(name in PACKAGE.scripts))).toEqual([]);
});

test("commands and flags of the executable that documents name exist", () => {
  const executable = join(ROOT, "node/cli/concord.js");
  const helps = new Map<string, string>();
  const help = (...command: string[]): string => {
    const key = command.join(" ");
    const known = helps.get(key) ?? spawnSync(process.execPath, [executable, ...command, "--help"]).stdout.toString();
    helps.set(key, known);
    return known;
  };
  const named = COMMANDS.flatMap(({ path, line }) => {
    const [, command, word = "", rest = ""] = /^concord ([a-z][a-z-]*)\b ?([a-z][a-z-]*)?(.*)$/.exec(line) ?? [];
    if (command === undefined) return [];
    const subcommand = new RegExp(`^ {2}${word}\\b`, "m").test(help(command).split("Commands:")[1] ?? "");
    return [
      { path, command, words: subcommand ? [command, word] : [command], flags: rest.match(/(?<= )--[a-z-]+/g) ?? [] },
    ];
  });
  expect(named.map(({ command }) => command)).toEqual(expect.arrayContaining(["node", "dev"]));
  const commands = [...help().matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name = ""]) => name);
  const unknown = named.flatMap(({ path, command, words, flags }) => {
    if (!commands.includes(command)) return [`${path}: concord ${command}`];
    return flags
      .filter((flag) => !new RegExp(`${flag}[ ,\\n]`).test(help(...words)))
      .map((flag) => `${path}: concord ${words.join(" ")} ${flag}`);
  });
  expect(unknown).toEqual([]);
});

test("links lead to a file, and to a heading of it", () => {
  const broken = DOCUMENTS.flatMap((path) =>
    links(path)
      .filter(({ to, heading }) => {
        if (!existsSync(join(ROOT, to))) return true;
        return heading !== undefined && !(to.endsWith(".md") && headings(to).includes(heading));
      })
      .map(({ to, heading }) => `${path}: ${to}${heading === undefined ? "" : `#${heading}`}`),
  );
  expect(broken).toEqual([]);
});

test("paths that documents name exist", () => {
  const named = DOCUMENTS.flatMap((path) => namedPaths(path).map((to) => ({ path, to })));
  expect(named.map(({ to }) => to)).toEqual(expect.arrayContaining(["operator/examples/minimal.yaml"]));
  expect(
    named.filter(({ path, to }) => !existsSync(join(ROOT, to)) && !existsSync(join(ROOT, dirname(path), to))),
  ).toEqual([]);
});
