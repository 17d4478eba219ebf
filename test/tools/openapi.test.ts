import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "vitest";
import { ERROR_TABLE } from "../../node/client/errors.ts";
import { openApiDocument } from "../../node/api/http/openapi.ts";
import { OPERATION_GROUPS } from "../../node/api/http/operations.ts";
import { Router } from "../../node/api/http/router.ts";

const operations = OPERATION_GROUPS.flatMap((group) => group.operations);
const document = openApiDocument(OPERATION_GROUPS, "1.2.3") as {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses?: object }>>>>;
};

test("the document is OpenAPI 3.1", async () => {
  const validator = new Validator();
  expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
  expect(document.info.version).toBe("1.2.3");
});

test("every reference leads somewhere", () => {
  const lookUp = (reference: string): unknown =>
    reference
      .slice(2)
      .split("/")
      .reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], document);
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to = ""]) => to);
  expect(references.length).toBeGreaterThan(100);
  expect(references.filter((to) => !to.startsWith("#/") || lookUp(to) === undefined)).toEqual([]);
});

test("every operation is there once, under its own name and place", () => {
  const ids = operations.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => method !== "parameters")
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described.sort()).toEqual(operations.map(({ method, path }) => `${method} ${path}`).sort());
});

test("a path leads to its own operations, whatever stands before them", () => {
  const router = new Router(OPERATION_GROUPS);
  for (const operation of operations) {
    const path = operation.path.replaceAll(/\{\w+\}/g, "0000000000000001");
    expect(router.find(path)?.place.operations.get(operation.method)?.id, path).toBe(operation.id);
  }
  expect(router.find("/api/v1/kv/a/b%2Fc")?.segments).toEqual({ key: "a/b%2Fc" });
  expect(router.find("/api/v1/leases/1/2")).toBeUndefined();
  expect(router.find("/api/v1")).toBeUndefined();
});

test("failures are problems with codes of the table, each at its status", () => {
  const { components } = document as unknown as {
    components: { responses: Record<string, { content: Record<string, { schema: { allOf: object[] } }> }> };
  };
  for (const { content } of Object.values(components.responses)) {
    expect(Object.keys(content)).toEqual(["application/problem+json"]);
    const { properties } = content["application/problem+json"]!.schema.allOf[1] as {
      properties: { status: { const: number }; code: { enum: (keyof typeof ERROR_TABLE)[] } };
    };
    expect(properties.code.enum.map((code) => ERROR_TABLE[code].http)).toEqual(
      properties.code.enum.map(() => properties.status.const),
    );
  }
});
