import { createHash } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { KubeConfig } from "@kubernetes/client-node";

/** Everything a request needs to reach and satisfy the API server. */
export interface Credentials {
  readonly server: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: http.Agent | https.Agent;
}

/** Credentials are asked for again this often, so that rotated tokens and certificates are picked up. */
const CREDENTIALS_AGE_MS_MAX = 10_000;
const TCP_KEEPALIVE_MS = 30_000;
const IDLE_SOCKETS_MAX = 16;

/**
 * The way to the API server: authentication from a KubeConfig, connections from one keep-alive agent per set of
 * certificates (the library opens a new TLS connection for every request).
 */
export class Connection {
  readonly #kubeConfig: KubeConfig;
  #agent: { readonly hash: string; readonly agent: http.Agent | https.Agent } | undefined;
  #credentials: { readonly value: Credentials; readonly atMs: number } | undefined;
  #pending: Promise<Credentials> | undefined;

  constructor(kubeConfig: KubeConfig) {
    this.#kubeConfig = kubeConfig;
  }

  /** KUBECONFIG, then ~/.kube/config, then the service account of the pod. */
  static fromDefault(): Connection {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromDefault();
    return new Connection(kubeConfig);
  }

  /** @param text YAML or JSON of a kubeconfig file */
  static fromString(text: string): Connection {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromString(text);
    return new Connection(kubeConfig);
  }

  /** An API server without TLS or authentication, such as `kubectl proxy`. */
  static insecure(server: string): Connection {
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromClusterAndUser({ name: "cluster", server, skipTLSVerify: true }, { name: "user" });
    return new Connection(kubeConfig);
  }

  /** Namespace of the current context, or undefined. */
  get namespace(): string | undefined {
    return this.#kubeConfig.getContextObject(this.#kubeConfig.getCurrentContext())?.namespace;
  }

  async credentials(): Promise<Credentials> {
    const known = this.#credentials;
    if (known !== undefined && performance.now() - known.atMs < CREDENTIALS_AGE_MS_MAX) return known.value;
    this.#pending ??= this.#read().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Forgets the credentials, after the server has refused them. */
  invalidate(): void {
    this.#credentials = undefined;
  }

  close(): void {
    this.#agent?.agent.destroy();
    this.#agent = undefined;
    this.#credentials = undefined;
  }

  async #read(): Promise<Credentials> {
    const cluster = this.#kubeConfig.getCurrentCluster();
    if (cluster === null) throw new TypeError("Cannot reach Kubernetes: the kubeconfig has no current cluster");
    const options: https.RequestOptions = {};
    await this.#kubeConfig.applyToHTTPSOptions(options);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value);
    if (typeof options.auth === "string") {
      headers["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    }
    const server = new URL(cluster.server);
    const value = { server, headers, agent: this.#agentFor(server, options) };
    this.#credentials = { value, atMs: performance.now() };
    return value;
  }

  #agentFor(server: URL, options: https.RequestOptions): http.Agent | https.Agent {
    const tls: https.AgentOptions = {
      ca: options.ca,
      cert: options.cert,
      key: options.key,
      pfx: options.pfx,
      passphrase: options.passphrase,
      servername: options.servername,
      rejectUnauthorized: options.rejectUnauthorized ?? true,
    };
    const hash = createHash("sha256").update(server.origin);
    for (const [name, part] of Object.entries(tls)) hash.update(`\0${name}\0${String(part)}`);
    const digest = hash.digest("hex");
    if (this.#agent?.hash === digest) return this.#agent.agent;
    // Requests in flight keep the sockets of the old agent; only its idle ones are closed.
    this.#agent?.agent.destroy();
    const pool = { keepAlive: true, keepAliveMsecs: TCP_KEEPALIVE_MS, maxFreeSockets: IDLE_SOCKETS_MAX };
    const agent = server.protocol === "https:" ? new https.Agent({ ...pool, ...tls }) : new http.Agent(pool);
    this.#agent = { hash: digest, agent };
    return agent;
  }
}
