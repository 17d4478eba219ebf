import { percentDecode, type Exchange } from "./exchange.ts";
import { type DoorContext, type Operation, type OperationGroup, type Query } from "./operation.ts";

/** Operations at one path. */
interface Place {
  readonly pattern: RegExp;
  readonly group: OperationGroup;
  readonly operations: Map<string, Operation>;
}

/** Where a request is to go. */
export interface Route {
  readonly place: Place;
  /** Still percent-encoded. */
  readonly segments: Readonly<Record<string, string>>;
}

/** Finds the operation that a request asks for. */
export class Router {
  readonly #places: readonly Place[];

  /** @param groups - in the order they are looked at: of two paths that fit, the first counts. */
  constructor(groups: readonly OperationGroup[]) {
    const places = new Map<string, Place>();
    for (const group of groups) {
      for (const operation of group.operations) {
        const place = places.get(operation.path) ?? { pattern: patternOf(operation), group, operations: new Map() };
        place.operations.set(operation.method, operation);
        if (operation.method === "GET") place.operations.set("HEAD", operation);
        places.set(operation.path, place);
      }
    }
    this.#places = [...places.values()];
  }

  /** Undefined when there is nothing at this path. */
  find(path: string): Route | undefined {
    for (const place of this.#places) {
      const match = place.pattern.exec(path);
      if (match !== null) return { place, segments: match.groups ?? {} };
    }
    return undefined;
  }
}

/**
 * Has the operation of a route done.
 *
 * @throws ConcordError when the request does not fit it, or it fails.
 */
export async function carryOut({ place, segments }: Route, exchange: Exchange, context: DoorContext): Promise<void> {
  place.group.admit?.(exchange);
  const operation = place.operations.get(exchange.method);
  if (operation === undefined) throw exchange.methodNotAllowed([...place.operations.keys()]);
  const path = Object.fromEntries(Object.entries(segments).map(([name, text]) => [name, percentDecode(text, "path")]));
  const query = readQuery(operation.query, exchange);
  const body = async (): Promise<unknown> => operation.body?.read(exchange, context);
  await operation.handle(exchange, { path, query, body }, context);
}

function readQuery(parameters: Query, exchange: Exchange): Readonly<Record<string, unknown>> {
  const given = exchange.query(...Object.keys(parameters));
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    const bytes = given[name];
    if (bytes !== undefined) values[name] = parameter.read(name, bytes);
  }
  return values;
}

/** The path as a regular expression with a named group for each parameter. */
function patternOf({ path, parameters }: Operation): RegExp {
  const pattern = path
    .split(/\{(\w+)\}/)
    .map((part, at) =>
      at % 2 === 0
        ? part.replace(/[.*+?^$()[\]|\\]/g, "\\$&")
        : `(?<${part}>${parameters[part]?.slashes === true ? ".*" : "[^/]*"})`,
    )
    .join("");
  return new RegExp(`^${pattern}$`, "s");
}
