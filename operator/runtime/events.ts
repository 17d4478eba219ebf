import { randomBytes } from "node:crypto";
import { isNotFound } from "./api-error.ts";
import { type KubernetesObject, type ObjectMeta, RESOURCES } from "./kubernetes-object.ts";
import { type Logger } from "./logger.ts";
import { microTime } from "./micro-time.ts";
import { TokenBucket } from "./rate-limiter.ts";
import { type RestClient } from "./rest-client.ts";

/** What happened to an object, in the words of events.k8s.io/v1. */
export interface EventNote {
  readonly type: "Normal" | "Warning";
  /** CamelCase, for machines. */
  readonly reason: string;
  /** What was done or tried. */
  readonly action: string;
  /** For people; at most 1 KiB. */
  readonly note: string;
}

interface Series {
  readonly object: KubernetesObject;
  readonly name: string;
  readonly namespace: string;
  count: number;
  lastMs: number;
  /** Count the API server knows of. */
  writtenCount: number;
  writtenMs: number;
}

/** The same note again within this time joins the series of the first. */
const SERIES_MS = 6 * 60_000;
/** A series that grows is written again at most this often. */
const SERIES_WRITE_MS = 60_000;
const NOTE_BYTES_MAX = 1024;
const SERIES_MAX = 4096;
const SPAM_BURST = 25;
const SPAM_PER_SECOND = 1 / 300;

/**
 * Records events on objects. Repetitions become a series; an object that causes too many loses the surplus. Recording
 * never fails and never delays the caller: an event that cannot be written is logged.
 */
export class EventRecorder {
  readonly #client: RestClient;
  readonly #log: Logger;
  readonly #controller: string;
  readonly #instance: string;
  readonly #now: () => number;
  readonly #series = new Map<string, Series>();
  readonly #spam = new Map<string, TokenBucket>();
  readonly #inFlight = new Set<Promise<void>>();

  constructor(
    client: RestClient,
    log: Logger,
    options: { readonly controller: string; readonly instance: string; readonly now?: () => number },
  ) {
    this.#client = client;
    this.#log = log;
    this.#controller = options.controller;
    this.#instance = options.instance;
    this.#now = options.now ?? (() => Date.now());
  }

  record(object: KubernetesObject, note: EventNote): void {
    const key = [object.metadata.uid, note.type, note.reason, note.action, note.note].join("\0");
    const nowMs = this.#now();
    const known = this.#series.get(key);
    if (known !== undefined && nowMs - known.lastMs < SERIES_MS) {
      known.count += 1;
      known.lastMs = nowMs;
      if (known.writtenCount === 1 || nowMs - known.writtenMs >= SERIES_WRITE_MS) this.#spawn(this.#writeSeries(known));
      return;
    }
    if (!this.#bucket(object).tryAcquire()) return;
    this.#evict(nowMs);
    const namespace = object.metadata.namespace ?? "default";
    const name = `${object.metadata.name}.${randomBytes(8).toString("hex")}`;
    this.#series.set(key, { object, name, namespace, count: 1, lastMs: nowMs, writtenCount: 1, writtenMs: nowMs });
    this.#spawn(this.#create(object, note, namespace, name, nowMs));
  }

  /** Waits until everything recorded so far is written or given up. */
  async flush(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  async #create(
    object: KubernetesObject,
    note: EventNote,
    namespace: string,
    name: string,
    nowMs: number,
  ): Promise<void> {
    const metadata: ObjectMeta = { name, namespace };
    await this.#client.create({
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata,
      eventTime: microTime(nowMs),
      reportingController: this.#controller,
      reportingInstance: this.#instance.slice(0, 128),
      action: note.action,
      reason: note.reason,
      type: note.type,
      note: Buffer.from(note.note).subarray(0, NOTE_BYTES_MAX).toString("utf8"),
      regarding: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        namespace: object.metadata.namespace,
        name: object.metadata.name,
        uid: object.metadata.uid,
        resourceVersion: object.metadata.resourceVersion,
      },
    });
  }

  async #writeSeries(series: Series): Promise<void> {
    const { count, lastMs, namespace, name } = series;
    series.writtenCount = count;
    series.writtenMs = lastMs;
    try {
      const patch = { series: { count, lastObservedTime: microTime(lastMs) } };
      await this.#client.patchMerge(RESOURCES.events, namespace, name, patch);
    } catch (error) {
      // Events live for an hour; the next occurrence starts a new series.
      if (!isNotFound(error)) throw error;
      series.lastMs = -Infinity;
    }
  }

  #spawn(work: Promise<void>): void {
    const guarded: Promise<void> = work
      .catch((error: unknown) => this.#log.warn({ err: error }, "Could not record an event"))
      .finally(() => this.#inFlight.delete(guarded));
    this.#inFlight.add(guarded);
  }

  #bucket(object: KubernetesObject): TokenBucket {
    const key = object.metadata.uid ?? object.metadata.name;
    let bucket = this.#spam.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket({ perSecond: SPAM_PER_SECOND, burst: SPAM_BURST });
      this.#spam.set(key, bucket);
    }
    return bucket;
  }

  #evict(nowMs: number): void {
    if (this.#series.size >= SERIES_MAX) {
      for (const [key, series] of this.#series) if (nowMs - series.lastMs >= SERIES_MS) this.#series.delete(key);
    }
    for (const map of [this.#series, this.#spam]) {
      while (map.size >= SERIES_MAX) {
        const oldest = map.keys().next().value;
        if (oldest === undefined) break;
        map.delete(oldest);
      }
    }
  }
}
