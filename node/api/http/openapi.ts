import { STATUS_CODES } from "node:http";
import { type TSchema } from "typebox";
import * as admin from "../../client/admin.ts";
import { ERROR_TABLE, type ErrorCode } from "../../client/errors.ts";
import * as rest from "../../client/rest.ts";
import {
  ANSWER_HEADERS,
  type Answer,
  type HeaderDescription,
  type Operation,
  type OperationGroup,
  PROBLEMS_OF_ALL,
  PROBLEMS_OF_BODIES,
  REQUEST_HEADERS,
} from "./operation.ts";
import { Problem } from "./problem.ts";

type Json = Readonly<Record<string, unknown>>;

const DESCRIPTION = [
  "Keys and values are bytes: they come as base64, and as text beside it (`keyText`, `valueText`) where they are valid",
  "UTF-8; a request gives one of the two. Revisions are JSON numbers. A lease id is 16 hex digits, as `etcdctl` prints it.",
  "Unknown query parameters and unknown fields of a body are refused. GET answers HEAD too.",
  "",
  "A failure is `application/problem+json` with a `code`: branch on it, never on the text. With `outcome: unknown` a write",
  "may have been carried out; send it again with its Idempotency-Key.",
].join("\n");

/** OpenAPI 3.1 of the operations: everything a client needs to know, taken from what the doors work by. */
export function openApiDocument(groups: readonly OperationGroup[], version: string): Json {
  const components = new Components();
  const paths: Record<string, Record<string, Json>> = {};
  for (const group of groups) {
    for (const operation of group.operations) {
      const place = (paths[operation.path] ??= pathItem(operation, components));
      place[operation.method.toLowerCase()] = operationObject(operation, group, components);
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Concord",
      version,
      summary: "A strongly consistent key-value and coordination store",
      description: DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The member that answers" }],
    // A certificate where the client address asks for one.
    security: [{ certificate: [] }, {}],
    tags: groups.map(({ name, description }) => ({ name, description })),
    paths,
    components: {
      schemas: components.schemas(),
      responses: components.responses(),
      headers: Object.fromEntries(Object.entries(ANSWER_HEADERS).map(([name, header]) => [name, headerObject(header)])),
      securitySchemes: { certificate: { type: "mutualTLS", description: "A certificate of the clients' authority" } },
    },
  };
}

function pathItem({ parameters }: Operation, components: Components): Record<string, Json> {
  const list = Object.entries(parameters).map(([name, { description, schema }]) => ({
    name,
    in: "path",
    required: true,
    description,
    schema: components.refer(schema),
  }));
  return list.length === 0 ? {} : { parameters: list as unknown as Json };
}

function operationObject(operation: Operation, group: OperationGroup, components: Components): Json {
  const query = Object.entries(operation.query).map(([name, { description, schema, required }]) => ({
    name,
    in: "query",
    ...(required === true ? { required } : {}),
    description,
    schema: components.refer(schema),
  }));
  const headers = operation.headers.map((name) => ({ name, in: "header", ...headerObject(REQUEST_HEADERS[name]) }));
  const { body } = operation;
  return {
    operationId: operation.id,
    tags: [group.name],
    summary: operation.summary,
    ...(operation.description === undefined ? {} : { description: operation.description }),
    ...(query.length + headers.length === 0 ? {} : { parameters: [...query, ...headers] }),
    ...(body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { [body.contentType]: { schema: components.refer(body.schema) } } },
        }),
    responses: {
      ...Object.fromEntries(
        operation.answers.map((answer) => [String(answer.status ?? 200), answerObject(answer, components)]),
      ),
      ...problemResponses(operation, components),
    },
  };
}

function answerObject({ description, content, headers = [], messages }: Answer, components: Components): Json {
  const media = Object.entries(content).map(([type, schema]) => [
    type,
    {
      schema: components.refer(schema),
      ...(messages === undefined
        ? {}
        : {
            "x-messages": Object.fromEntries(
              Object.entries(messages).map(([event, data]) => [event, components.refer(data)]),
            ),
          }),
    },
  ]);
  return {
    description,
    ...(headers.length === 0
      ? {}
      : { headers: Object.fromEntries(headers.map((name) => [name, { $ref: `#/components/headers/${name}` }])) }),
    ...(media.length === 0 ? {} : { content: Object.fromEntries(media) as Json }),
  };
}

/** One response for each status, with the codes that it may have here. */
function problemResponses({ body, problems }: Operation, components: Components): Record<string, Json> {
  const codes = new Set<ErrorCode>([
    ...PROBLEMS_OF_ALL,
    ...(body === undefined ? [] : PROBLEMS_OF_BODIES),
    ...problems,
  ]);
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { http } = ERROR_TABLE[code];
    byStatus.set(http, [...(byStatus.get(http) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, some]) => [String(status), components.problem(status, some.sort())]),
  );
}

function headerObject({ description, schema }: HeaderDescription): Json {
  return { description, schema };
}

/** What has a name, collected as it is referred to. */
class Components {
  readonly #names = new Map<string, string>();
  readonly #schemas = new Map<string, unknown>();
  /** By their names, which begin with what the status is called. */
  readonly #responses = new Map<string, Json>();

  constructor() {
    for (const [name, value] of Object.entries({ ...rest, ...admin, Problem })) {
      // A schema with definitions of its own brings the names along.
      if (typeof value === "object" && !("$defs" in value)) this.#names.set(JSON.stringify(value), name);
    }
  }

  /** The schema, with a reference for each part of it that has a name. */
  refer(schema: TSchema): unknown {
    return this.#refer(JSON.parse(JSON.stringify(schema)));
  }

  /** In alphabetical order. */
  schemas(): Json {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** A failure with this status and one of these codes. */
  problem(status: number, codes: readonly ErrorCode[]): Json {
    const title = STATUS_CODES[status] ?? String(status);
    const response = {
      description: `${title}: ${codes.map((code) => ERROR_TABLE[code].message).join("; ")}`,
      content: {
        "application/problem+json": {
          schema: {
            allOf: [this.refer(Problem), { properties: { status: { const: status }, code: { enum: codes } } }],
          },
        },
      },
    };
    const base = title.replace(/[^A-Za-z0-9]/g, "");
    for (let number = 1; ; number += 1) {
      const name = number === 1 ? base : `${base}${number}`;
      const known = this.#responses.get(name);
      if (known === undefined) this.#responses.set(name, response);
      else if (known["description"] !== response.description) continue;
      return { $ref: `#/components/responses/${name}` };
    }
  }

  responses(): Json {
    return Object.fromEntries(this.#responses);
  }

  #refer(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((each) => this.#refer(each));
    const schema = value as Json;
    const name = this.#names.get(JSON.stringify(schema));
    if (name !== undefined) return this.#component(name, schema);
    const { $defs, ...others } = schema;
    for (const [each, definition] of Object.entries(($defs ?? {}) as Record<string, Json>))
      this.#component(each, definition);
    if (typeof others["$ref"] === "string") return reference(others["$ref"]);
    return this.#parts(others);
  }

  #component(name: string, schema: Json): Json {
    if (!this.#schemas.has(name)) {
      // Known before its parts are looked at: it may be a part of itself.
      this.#schemas.set(name, undefined);
      this.#schemas.set(name, this.#parts(schema));
    }
    return reference(name);
  }

  #parts(schema: Json): Json {
    // Here a name is where a schema stands, so it needs none of its own.
    const parts = Object.entries(schema).filter(([key]) => key !== "$id");
    return Object.fromEntries(parts.map(([key, part]) => [key, this.#refer(part)]));
  }
}

const reference = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
