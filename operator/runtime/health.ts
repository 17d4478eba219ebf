import { once } from "node:events";
import http from "node:http";
import { type AddressInfo } from "node:net";

export interface HealthOptions {
  /** `host:port` or `:port`; port 0 takes a free one. */
  readonly address: string;
  /** Why the process is not ready; empty when it is. */
  readonly unready: () => string;
  /** Why the process is not alive; empty when it is. */
  readonly unhealthy: () => string;
  /** Text for Prometheus and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** `/healthz`, `/readyz` and `/metrics`. */
export class HealthServer {
  readonly #server: http.Server;
  readonly #options: HealthOptions;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#server = http.createServer((request, response) => void this.#handle(request, response));
    this.#server.requestTimeout = 10_000;
    this.#server.maxConnections = 64;
  }

  /** @throws TypeError when the address is not `host:port`, Error when it cannot be listened on */
  async open(): Promise<void> {
    const { host, port } = parseAddress(this.#options.address);
    this.#server.listen(port, host);
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?", 1)[0];
    switch (path) {
      case "/healthz":
        answerCheck(response, this.#options.unhealthy());
        return;
      case "/readyz":
        answerCheck(response, this.#options.unready());
        return;
      case "/metrics":
        try {
          const { contentType, text } = await this.#options.metrics();
          response.writeHead(200, { "content-type": contentType }).end(text);
        } catch (error) {
          response.writeHead(500).end(`${String(error)}\n`);
        }
        return;
      default:
        response.writeHead(404).end("not found\n");
    }
  }
}

function answerCheck(response: http.ServerResponse, problem: string): void {
  response.writeHead(problem === "" ? 200 : 503, { "content-type": "text/plain" });
  response.end(problem === "" ? "ok\n" : `${problem}\n`);
}

/** `:8080`, `0.0.0.0:8080` or `[::]:8080`. @throws TypeError for anything else */
export function parseAddress(address: string): { readonly host: string | undefined; readonly port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:]*):(\d{1,5})$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new TypeError(`Cannot listen on "${address}": expected host:port, for example ":8080"`);
  }
  const host = match[1]?.replace(/^\[|\]$/g, "");
  return { host: host === "" ? undefined : host, port };
}
