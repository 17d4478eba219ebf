import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Type } from "typebox";
import { ConcordError } from "../../client/errors.ts";
import { operation, type Answer, type Operation } from "./operation.ts";

/**
 * The REST door's description for people: Swagger UI over `/api/openapi.json`. Its files are in the build, which has them from
 * its package, or there in a source tree: the package reports installations to others, so it is none of Concord's own.
 */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Concord</title>
    <link rel="stylesheet" href="/api/docs/swagger-ui.css" />
    <script src="/api/docs/swagger-ui-bundle.js" defer></script>
    <script src="/api/docs/start.js" defer></script>
  </head>
  <body>
    <div id="docs"></div>
  </body>
</html>
`;
const START = `SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#docs", deepLinking: true });\n`;

const TEXT = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";
const FILES = { "swagger-ui.css": STYLE, "swagger-ui-bundle.js": SCRIPT, "start.js": SCRIPT } as const;
type FileName = keyof typeof FILES;

/** The page runs what is served here and talks to nobody else; Swagger UI sets styles on its elements. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");
const MAX_AGE_SECONDS = 3600;

const loaded = new Map<FileName, Buffer>();

export const docs: Operation = operation({
  id: "getDocs",
  method: "GET",
  path: "/api/docs",
  summary: "This description as a page for people, Swagger UI",
  answers: [{ description: "The page", content: { [TEXT]: Type.String() } }],
  handle: (exchange) => exchange.sendBytes(Buffer.from(PAGE), headersOf(TEXT)),
});

export const docsFile: Operation = operation({
  id: "getDocsFile",
  method: "GET",
  path: "/api/docs/{file}",
  summary: "What the page is made of",
  parameters: {
    file: { description: "Name of the file", schema: Type.Enum(Object.keys(FILES)) },
  },
  answers: [fileAnswer()],
  problems: ["CONCORD_NOT_FOUND"],
  handle(exchange, { path }) {
    const name = path.file.toString("latin1");
    if (!isFile(name)) throw new ConcordError("CONCORD_NOT_FOUND", "The documentation has no such file");
    exchange.sendBytes(read(name), headersOf(FILES[name]));
  },
});

function fileAnswer(): Answer {
  return { description: "The file", content: { [SCRIPT]: Type.String(), [STYLE]: Type.String() } };
}

function isFile(name: string): name is FileName {
  return Object.hasOwn(FILES, name);
}

function headersOf(contentType: string): Readonly<Record<string, string>> {
  return {
    "content-type": contentType,
    "content-security-policy": POLICY,
    "cache-control": `public, max-age=${MAX_AGE_SECONDS}`,
  };
}

function read(name: FileName): Buffer {
  const known = loaded.get(name) ?? (name === "start.js" ? Buffer.from(START) : readPackaged(name));
  loaded.set(name, known);
  return known;
}

function readPackaged(name: FileName): Buffer {
  try {
    return readFileSync(new URL(`../../../swagger-ui/${name}`, import.meta.url));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return readFileSync(createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`));
  }
}
