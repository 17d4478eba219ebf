import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { load, loadAll } from "js-yaml";
import { describe, expect, it } from "vitest";
import { ConcordClusterSpec } from "../../operator/api/v1alpha1/cluster.ts";
import { generatedFiles } from "./gen/files.ts";
import { buildManifest } from "./gen/manifest.ts";
import { valuesSchema } from "./gen/values.ts";

const root = new URL("../..", import.meta.url).pathname;
const CRD_BYTES_MAX = 100 * 1024;

describe("generated files", () => {
  it.each(generatedFiles())("%s is fresh (`npm run generate`)", (path, text) => {
    expect(readFileSync(join(root, path), "utf8")).toBe(text);
  });

  it("stay small enough for `kubectl apply`", () => {
    for (const file of readdirSync(join(root, "crds"))) {
      expect(readFileSync(join(root, "crds", file)).length).toBeLessThan(CRD_BYTES_MAX);
    }
  });
});

describe("examples", () => {
  const directory = join(root, "operator/examples");
  const validate = new Ajv({ strict: false, formats: { "date-time": true } }).compile(closed(ConcordClusterSpec));

  it.each(readdirSync(directory))("%s has only fields of the schema", (file) => {
    const example = load(readFileSync(join(directory, file), "utf8")) as { spec: unknown };
    expect(validate(example.spec), JSON.stringify(validate.errors)).toBe(true);
  });
});

/** The schema without room for misspelt fields, which the API server would silently drop. */
function closed(schema: object): object {
  return JSON.parse(JSON.stringify(schema), (_, value: unknown) => {
    if (typeof value !== "object" || value === null || !("properties" in value) || !("type" in value)) return value;
    return { ...value, additionalProperties: false };
  }) as object;
}

describe("the chart", () => {
  const chart = join(root, "charts/concord-operator");
  const values: unknown = load(readFileSync(join(chart, "values.yaml"), "utf8"));

  it("has default values that fit its own schema", () => {
    const validate = new Ajv({ strict: false }).compile(valuesSchema());
    expect(validate(values), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...(values as object), replicas: 2 })).toBe(false);
  });

  const helm = [join(homedir(), ".cache/concord-lab/bin/helm"), "/usr/local/bin/helm", "/usr/bin/helm"].find(
    existsSync,
  );
  const render = (...options: string[]): Rendered[] => {
    const text = execFileSync(helm ?? "", ["template", "concord-operator", chart, "-n", "concord-system", ...options]);
    return (loadAll(text.toString()) as (Rendered | null)[]).filter((object) => object !== null);
  };

  it.skipIf(helm === undefined)("renders what the plain manifest holds", () => {
    const withoutHelm = (object: Rendered) => ({ ...object, metadata: { ...object.metadata, labels: {} } });
    const key = ({ kind, metadata }: Rendered) => `${kind} ${metadata.name}`;
    const rendered = new Map(render("--set=crds.keep=false").map((object) => [key(object), withoutHelm(object)]));
    for (const object of buildManifest() as unknown as Rendered[]) {
      if (object.kind !== "Namespace") expect(rendered.get(key(object)), key(object)).toEqual(withoutHelm(object));
    }
    expect(rendered.size).toBe(buildManifest().length - 1);
  });

  it.skipIf(helm === undefined)("needs no cluster-wide rights for given namespaces", () => {
    const kinds = render("--set=watchNamespaces={a,b}").map(
      ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}`,
    );
    expect(kinds.filter((kind) => kind.startsWith("ClusterRole"))).toEqual([]);
    expect(kinds).toEqual(expect.arrayContaining(["Role a", "Role b", "RoleBinding a", "RoleBinding b"]));
  });

  it.skipIf(helm === undefined)("keeps its CRDs on request, and leaves them out on request", () => {
    const crds = (...options: string[]) => render(...options).filter(({ kind }) => kind === "CustomResourceDefinition");
    expect(crds()[0]?.metadata.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    expect(crds("--set=crds.keep=false")[0]?.metadata.annotations).toBeUndefined();
    expect(crds("--set=crds.install=false")).toEqual([]);
  });
});

interface Rendered {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: unknown;
    readonly annotations?: unknown;
  };
}
