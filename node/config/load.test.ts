import { describe, expect, test } from "vitest";
import { ConcordError } from "../client/errors.ts";
import { OTHER_ETCD_FLAGS } from "./etcd-flags.ts";
import { loadConfiguration, type LoadOptions } from "./load.ts";
import { flagName, SETTING_NAMES } from "./schema.ts";

const GIB = 1024 ** 3;

function load(argv: readonly string[], env: Record<string, string> = {}, options: LoadOptions = {}) {
  return loadConfiguration(argv, env, { memoryBytes: 4 * GIB, ...options });
}

function refusal(argv: readonly string[], env: Record<string, string> = {}, options: LoadOptions = {}): string {
  try {
    load(argv, env, options);
  } catch (error) {
    if (ConcordError.is(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error("The configuration was accepted");
}

describe("precedence", () => {
  const file = { readFile: () => "name: from-file\nheartbeat-interval: 20\nlog-level: debug\n" };

  test("flag over variable over file over default", () => {
    const configuration = load(
      ["--config-file", "c.yaml", "--name", "from-flag"],
      { CONCORD_NAME: "from-variable", CONCORD_HEARTBEAT_INTERVAL: "30" },
      file,
    );
    expect(configuration).toMatchObject({
      name: "from-flag",
      heartbeatInterval: 30,
      logLevel: "debug",
      electionTimeout: 300,
    });
  });

  test("an empty variable is an unset one", () => {
    expect(load([], { CONCORD_NAME: "" }).name).toBe("default");
  });

  test("the result is deeply frozen", () => {
    const configuration = load([]);
    expect(Object.isFrozen(configuration)).toBe(true);
    expect(Object.isFrozen(configuration.initialMembers[0]?.peerUrls)).toBe(true);
  });
});

describe("derived values", () => {
  test("quota: 60 % of the memory, at most 8 GiB, or what was asked for", () => {
    expect(load([], {}, { memoryBytes: 10 * GIB }).quotaBackendBytes).toBe(6 * GIB);
    expect(load([], {}, { memoryBytes: 100 * GIB }).quotaBackendBytes).toBe(8 * GIB);
    expect(load(["--quota-backend-bytes", "12345"]).quotaBackendBytes).toBe(12345);
  });

  test("automatic compaction: on by default, off when etcd's founding flags start the node", () => {
    expect(load([]).autoCompaction).toEqual({ mode: "periodic", retentionMs: 3_600_000 });
    const list = ["--initial-cluster", "default=http://localhost:2380"];
    expect(load(list).autoCompaction).toEqual({ mode: "off" });
    expect(load([...list, "--auto-compaction-retention", "90s"]).autoCompaction).toEqual({
      mode: "periodic",
      retentionMs: 90_000,
    });
    expect(load(["--auto-compaction-retention=2"]).autoCompaction).toEqual({
      mode: "periodic",
      retentionMs: 7_200_000,
    });
    expect(load(["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"]).autoCompaction).toEqual({
      mode: "revision",
      revisions: 1000,
    });
  });

  test("the founding list keeps several URLs of one name together", () => {
    const { initialMembers } = load([
      "--name=a",
      "--listen-peer-urls=http://0.0.0.0:2380",
      "--initial-advertise-peer-urls=http://h1:2380,http://h2:2380",
      "--initial-cluster=a=http://h1:2380,b=http://h3:2380,a=http://h2:2380",
    ]);
    expect(initialMembers).toEqual([
      { name: "a", peerUrls: ["http://h1:2380", "http://h2:2380"] },
      { name: "b", peerUrls: ["http://h3:2380"] },
    ]);
  });

  test("certificates of a CA are asked for as soon as the CA is given", () => {
    const tls = ["--listen-client-urls=https://[::1]:0", "--cert-file=c", "--key-file=k"];
    expect(load(tls).clientTls).toEqual({ certFile: "c", keyFile: "k", caFile: undefined });
    expect(load([...tls, "--trusted-ca-file=ca"]).clientCertAuth).toBe(true);
  });
});

describe("refusals are one sentence that names the value and what was expected", () => {
  test.each([
    [["--nmae", "x"], "CONCORD_USAGE: unknown option '--nmae' (Did you mean --name?)"],
    [["--name=a", "--name=b"], "CONCORD_USAGE: --name is given twice"],
    [
      ["--name", "a=b"],
      'CONCORD_USAGE: --name is "a=b", expected 1 to 253 characters without "=", "," and white space',
    ],
    [
      ["--heartbeat-interval=1e3"],
      'CONCORD_USAGE: --heartbeat-interval is "1e3", expected a whole number from 5 to 10000',
    ],
    [["--log-level=loud"], 'CONCORD_USAGE: --log-level is "loud", expected one of debug, info, warn, error'],
    [["--listen-client-urls=localhost:2379"], "expected URLs like https://host:2379"],
    [["--listen-client-urls=http://h:70000"], "expected URLs like https://host:2379"],
    [["--client-cert-auth=maybe"], 'CONCORD_USAGE: --client-cert-auth is "maybe", expected true or false'],
    [["--heartbeat-interval=100"], "--election-timeout is 300 ms, expected at least 5 times --heartbeat-interval"],
    [["--listen-peer-urls=http://0.0.0.0:2380"], "--initial-advertise-peer-urls is not given"],
    [["--cert-file=c"], "--key-file is not given, expected one together with --cert-file"],
    [["--cert-file=c", "--key-file=k"], "contains http://localhost:2379, expected https"],
    [["--listen-client-urls=https://localhost:2379"], "expected http, or --cert-file and --key-file"],
    [["--client-cert-auth"], "--trusted-ca-file is not given"],
    [["--start-mode=wait", "--initial-cluster=a=http://h:1"], "--start-mode is wait, expected no --initial-cluster"],
    [["--initial-cluster=a=http://h:1"], 'does not contain this member\'s name "default"'],
    [["--initial-cluster=default=http://h:1"], "expected the value of --initial-advertise-peer-urls"],
    [["--initial-cluster=default"], '--initial-cluster contains "default", expected name=url'],
    [["--auto-compaction-retention=soon"], "expected a duration like 30m"],
    [["--auto-compaction-mode=revision"], "expected a number of revisions"],
    [["extra"], "CONCORD_USAGE"],
  ])("%j", (argv, sentence) => {
    expect(refusal(argv)).toContain(sentence);
  });

  test("a misspelt variable is named; those Kubernetes makes for a Service are left alone", () => {
    expect(refusal([], { CONCORD_NMAE: "x" })).toBe(
      "CONCORD_CONFIGURATION_INVALID: The variable CONCORD_NMAE is not a setting; did you mean CONCORD_NAME?",
    );
    expect(refusal([], { CONCORD_LOG_LEVEL: "loud" })).toContain("CONCORD_CONFIGURATION_INVALID: CONCORD_LOG_LEVEL");
    load([], {
      CONCORD_SERVICE_HOST: "10.0.0.1",
      CONCORD_DEMO_PORT_2379_TCP_ADDR: "10.0.0.1",
      CONCORD_PORT: "tcp://x",
    });
  });

  test.each([
    ["name: [", "neither YAML nor JSON"],
    ["- a", "must be a map of settings"],
    ["nmae: x", '"nmae" in c.yaml is not a setting; did you mean name?'],
    ["__proto__: {name: x}", '"__proto__" in c.yaml is not a setting'],
    ["name: a\nname: b", "neither YAML nor JSON"],
    ["heartbeat-interval: 1.5", '"heartbeat-interval" in c.yaml is "1.5", expected a whole number'],
    ["listen-client-urls: {a: b}", "expected URLs like"],
  ])("file %j", (text, sentence) => {
    const message = refusal(["--config-file=c.yaml"], {}, { readFile: () => text });
    expect(message).toContain("CONCORD_CONFIGURATION_INVALID: ");
    expect(message).toContain(sentence);
  });

  test("a file that cannot be read", () => {
    expect(refusal(["--config-file=/does/not/exist"])).toContain(
      'Cannot read the configuration file "/does/not/exist"',
    );
  });
});

describe("etcd's own flags and variables", () => {
  test("the command line that kubeadm writes for etcd is a configuration", () => {
    const configuration = load([
      "--advertise-client-urls=https://192.0.2.1:2379",
      "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
      "--client-cert-auth=true",
      "--data-dir=/var/lib/etcd",
      "--feature-gates=InitialCorruptCheck=true",
      "--initial-advertise-peer-urls=https://192.0.2.1:2380",
      "--initial-cluster=control-plane=https://192.0.2.1:2380",
      "--key-file=/etc/kubernetes/pki/etcd/server.key",
      "--listen-client-urls=https://127.0.0.1:2379,https://192.0.2.1:2379",
      "--listen-metrics-urls=http://127.0.0.1:2381",
      "--listen-peer-urls=https://192.0.2.1:2380",
      "--name=control-plane",
      "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
      "--peer-client-cert-auth=true",
      "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
      "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
      "--snapshot-count=10000",
      "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
      "--watch-progress-notify-interval=5s",
    ]);
    expect(configuration).toMatchObject({
      name: "control-plane",
      clientCertAuth: true,
      watchProgressNotifyIntervalMs: 5000,
      warnings: ["--feature-gates has no effect"],
    });
  });

  test("a variable of etcd's is another name of ours, which wins", () => {
    expect(load([], { ETCD_NAME: "a", ETCD_HEARTBEAT_INTERVAL: "20", CONCORD_NAME: "b" })).toMatchObject({
      name: "b",
      heartbeatInterval: 20,
      warnings: [],
    });
    expect(refusal([], { ETCD_HEARTBEAT_INTERVAL: "soon" })).toMatch(
      /^CONCORD_CONFIGURATION_INVALID: ETCD_HEARTBEAT_INTERVAL is "soon", expected a whole number/,
    );
  });

  test("its flags of tracing are settings, where they fit; OpenTelemetry's variables say the same", () => {
    const argv = ["--distributed-tracing-sampling-rate=500", "--enable-distributed-tracing=true", "--name=m"];
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector:4318/", OTEL_SERVICE_NAME: "store" };
    expect(load([...argv, "--warning-unary-request-duration=0"], env)).toMatchObject({
      otlpEndpoint: "https://collector:4318",
      distributedTracingServiceName: "store",
      distributedTracingInstanceId: "m",
      distributedTracingSamplingRate: 500,
      slowRequestMs: Number.POSITIVE_INFINITY,
      warnings: ["--enable-distributed-tracing has no effect; traces are sent once --otlp-endpoint is given"],
    });
    expect(load([], { ...env, CONCORD_OTLP_ENDPOINT: "http://other:4318" }).otlpEndpoint).toBe("http://other:4318");
    expect(load([])).toMatchObject({ otlpEndpoint: "", enableGrpcGateway: true, slowRequestMs: 300 });
    expect(refusal(["--otlp-endpoint=collector:4318"])).toBe(
      'CONCORD_CONFIGURATION_INVALID: --otlp-endpoint is "collector:4318", expected an http or https URL like http://localhost:4318',
    );
    expect(refusal(["--warning-unary-request-duration=soon"])).toBe(
      'CONCORD_CONFIGURATION_INVALID: --warning-unary-request-duration is "soon", expected a duration like 300ms, or 0',
    );
  });

  test("what has no effect here is accepted with a warning, once", () => {
    const argv = ["--memory-mlock", "--max-wals=7", "--unsafe-no-fsync", "--discovery=", "--auto-tls=false"];
    const env = { ETCD_LOGGER: "zap", ETCD_MAX_WALS: "5", ETCD_CORS: "", ETCD_NONSENSE: "1", ETCD_PORT_2379_TCP: "x" };
    expect(load(argv, env).warnings).toEqual([
      "ETCD_LOGGER has no effect",
      "--max-wals has no effect",
      "--memory-mlock has no effect",
      "--unsafe-no-fsync has no effect",
      "The variable ETCD_NONSENSE is not one of etcd's settings and has no effect",
    ]);
  });

  test.each([
    ["--auto-tls", "true", "it would be served without TLS; give --cert-file and --key-file"],
    ["--force-new-cluster", "true", "a member with data never founds anew by a flag"],
    ["--client-crl-file", "/crl.pem", "a member that passed over it would let in whom it keeps out"],
    ["--tls-min-version", "TLS1.3", "TLS 1.2 would be accepted too"],
  ])("%s=%s cannot be passed over", (flag, value, because) => {
    const sentence = `is "${value}", which cannot be honoured: ${because}`;
    expect(refusal([`${flag}=${value}`])).toBe(`CONCORD_USAGE: ${flag} ${sentence}`);
    const variable = `ETCD_${flag.slice(2).replaceAll("-", "_").toUpperCase()}`;
    expect(refusal([], { [variable]: value })).toBe(`CONCORD_CONFIGURATION_INVALID: ${variable} ${sentence}`);
  });

  test("no flag of the list is a setting, and none stands in it twice", () => {
    const flags = [...OTHER_ETCD_FLAGS, ...SETTING_NAMES.map((name) => flagName(name))];
    expect(new Set(flags).size).toBe(flags.length);
  });
});
