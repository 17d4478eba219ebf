import { type CallOptions, type HttpConnection } from "./http-connection.ts";

/** What a REST request may carry besides its path. */
export interface RestRequest {
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes as they are. */
  readonly body?: Uint8Array | string | undefined;
  /** Sent as JSON. */
  readonly json?: object | undefined;
}

/** Sends one request of the REST door and reads its JSON answer. The server of this package gives the types it promises. */
export async function restCall<T>(
  connection: HttpConnection,
  method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE",
  path: string,
  request: RestRequest = {},
  options?: CallOptions,
): Promise<T> {
  const { headers = {}, body, json } = request;
  const call =
    json === undefined
      ? { method, path, headers, ...(body === undefined ? {} : { body }) }
      : { method, path, headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(json) };
  const answer = await connection.call(call, options);
  return JSON.parse(answer.body.toString("utf8")) as T;
}

/** Everything but letters, digits and `-._~` as `%XX`: what comes out is the same bytes whoever passes it on. */
export function escapeBytes(bytes: Uint8Array | string): string {
  let escaped = "";
  for (const byte of Buffer.from(bytes as Uint8Array)) {
    const character = String.fromCharCode(byte);
    escaped += /[A-Za-z0-9._~-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  }
  return escaped;
}

/** A query of the parameters that are given; their values are escaped already. */
export function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(parameters).filter((pair) => pair[1] !== undefined);
  return pairs.length === 0 ? "" : `?${pairs.map(([name, value]) => `${name}=${value ?? ""}`).join("&")}`;
}

/** A key or a value in JSON. */
export function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString("base64");
}
