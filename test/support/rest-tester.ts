import { ConcordError } from "../../node/client/errors.ts";
import { HttpConnection } from "../../node/client/http-connection.ts";

type Method = "GET" | "PUT" | "POST" | "PATCH" | "DELETE";

/** JSON to the REST door and back. */
export class RestTester {
  readonly connection: HttpConnection;

  constructor(url: string) {
    this.connection = new HttpConnection(url);
  }

  get<T = unknown>(path: string): Promise<T> {
    return this.send<T>("GET", path);
  }

  post<T = unknown>(path: string, body?: unknown): Promise<T> {
    return this.send<T>("POST", path, body);
  }

  /** A text is sent as it is, anything else as JSON. */
  async send<T = unknown>(method: Method, path: string, body?: unknown): Promise<T> {
    const answer = await this.connection.call({
      method,
      path,
      headers: { "content-type": "application/json" },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
    return JSON.parse(answer.body.toString("utf8")) as T;
  }

  /** @throws Error when the request was answered. */
  async refusal(method: Method, path: string, body?: unknown): Promise<ConcordError> {
    const outcome = await this.send(method, path, body).catch((error: unknown) => error);
    if (ConcordError.is(outcome)) return outcome;
    throw new Error(`${method} ${path} was answered with ${JSON.stringify(outcome)}`);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
