import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

/** What the documents of this repository claim, taken out of them so that tests can try it. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const FILES: readonly string[] = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard"],
  { cwd: ROOT },
)
  .toString()
  .split("\n")
  .filter((path) => path !== "");

export const DOCUMENTS: readonly string[] = FILES.filter((path) => path.endsWith(".md"));

export const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** A piece of code in a document or in a comment. */
export interface Example {
  /** Path of the document, relative to the root. */
  readonly path: string;
  /** Line of the first line of code, from 1. */
  readonly line: number;
  readonly code: string;
}

/** The fenced `ts` blocks of a document. */
export function fencedExamples(path: string): readonly Example[] {
  const text = textOf(path);
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => ({
    path,
    line: lineAt(text, match.index) + 1,
    code: match[1] ?? "",
  }));
}

/** The TSDoc `@example` blocks of a source file. One without a fence is an example with no code. */
export function commentExamples(path: string): readonly Example[] {
  const text = textOf(path);
  return [...text.matchAll(/^ *\* @example\b.*\n((?: *\*(?!\/).*\n)*)/gm)].map((match) => {
    const body = (match[1] ?? "").replace(/^ *\* ?/gm, "");
    return { path, line: lineAt(text, match.index) + 2, code: /^```ts\n([\s\S]*?)^```$/m.exec(body)?.[1] ?? "" };
  });
}

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** What an example says it prints: the comment behind each `console.log`, up to a colon with a remark. */
export function expectedOutput(example: Example): readonly string[] {
  return [...example.code.matchAll(/console\.log\(.*\); \/\/ (.+)$/gm)].map(([, comment = ""]) =>
    comment.replace(/: .*$/, ""),
  );
}

/** Commands of a document, a line each: in code spans, in fenced blocks and in indented ones. */
export function commandLines(path: string): readonly string[] {
  const text = textOf(path).replace(/\\\n\s*/g, " ");
  const blocks = [...text.matchAll(/^```(?:sh|text)\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);
  const indented = [...text.matchAll(/^ {4}(.*)$/gm)].map(([, line = ""]) => line);
  const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);
  return [...blocks.join("\n").split("\n"), ...indented, ...spans]
    .flatMap((line) => line.split(/&&|;|\|/))
    .map((line) => line.trim().replace(/^(?:[A-Z_]+=\S+ )*(?:npx )?/, ""))
    .filter((line) => line !== "");
}

/** Links of a document to other files, or to headings, as repository path and heading. */
export function links(path: string): readonly { readonly to: string; readonly heading: string | undefined }[] {
  return [...textOf(path).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [file = "", heading] = link.split("#");
      return { to: file === "" ? path : posix.join(posix.dirname(path), file), heading };
    });
}

/** The names under which GitHub links to the headings of a document. */
export function headings(path: string): readonly string[] {
  return [...textOf(path).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Paths of this repository that a document names in code, from the top or from the document's own folder. */
export function namedPaths(path: string): readonly string[] {
  const named = commandLines(path).flatMap(
    (line) => line.match(/(?<![\w./@-])(?:node|operator|charts|crds|test)\/[\w./-]*[\w/]/g) ?? [],
  );
  return [...new Set(named)];
}
