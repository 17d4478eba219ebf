import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A TCP proxy on loopback that a test can cut, or make deaf in one direction. */
export class FaultProxy {
  readonly url: string;
  /** Of what the server says, so many chunks still come through; the rest is lost here. */
  answersToPass = Infinity;
  /** Connections that came. */
  connections = 0;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async open(targetPort: () => number): Promise<FaultProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new FaultProxy(server);
    server.on("connection", (client) => proxy.#join(client, connect(targetPort(), "127.0.0.1")));
    return proxy;
  }

  /** Ends every connection, as a network does that failed. */
  cut(): void {
    for (const [client, target] of this.#pairs) {
      client.destroy();
      target.destroy();
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, target: Socket): void {
    this.connections += 1;
    const pair = [client, target] as const;
    this.#pairs.add(pair);
    client.on("data", (chunk) => target.write(chunk));
    target.on("data", (chunk) => {
      if (this.answersToPass <= 0) return;
      this.answersToPass -= 1;
      client.write(chunk);
    });
    for (const [socket, other] of [pair, [target, client]] as const) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        other.destroy();
        this.#pairs.delete(pair);
      });
    }
  }
}
