import { type Metric, type Registry } from "prom-client";

type Labels = Readonly<Record<string, string>>;

/** Durations of one series, by bucket. To add one costs a fraction of what it costs a histogram with labels. */
export class Tally {
  readonly #bounds: readonly number[];
  /** One more than there are bounds: the last has what is above all. */
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds upper ones, ascending, seconds */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  add(durationMs: number): void {
    const seconds = durationMs / 1000;
    let bucket = 0;
    for (const bound of this.#bounds) {
      if (seconds <= bound) break;
      bucket += 1;
    }
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** Takes over what another one with the same bounds has. */
  merge(other: Tally): void {
    for (const [bucket, count] of other.#counts.entries()) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#sum += other.#sum;
  }

  /** As Prometheus has it: every bucket with all that is below it. */
  values(name: string, labels: Labels): object[] {
    let count = 0;
    const buckets = this.#counts.map((own, position) => {
      count += own;
      const le = this.#bounds[position] ?? "+Inf";
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

/** A histogram in a registry whose series are tallies: read when Prometheus asks, and kept nowhere else. */
export function addTallies(
  registers: readonly Registry[],
  description: { readonly name: string; readonly help: string; readonly labelNames: readonly string[] },
  series: () => Iterable<readonly [Labels, Tally]>,
): void {
  const { name } = description;
  const metric = {
    ...description,
    type: "histogram",
    aggregator: "sum",
    get: () => {
      const values = [...series()].flatMap(([labels, tally]) => tally.values(name, labels));
      return Promise.resolve({ ...description, type: "histogram", aggregator: "sum", values });
    },
    // The registry asks for no more than this of a metric.
  } as unknown as Metric;
  for (const registry of registers) registry.registerMetric(metric);
}
