import { type Replica } from "./replica.ts";

/** Runs `look` every `periodMs` for as long as the replica runs. Returns a function that ends it. */
export function lookPeriodically(replica: Replica, periodMs: number, look: () => void): () => void {
  let cancel: () => void = () => undefined;
  const schedule = (): void => {
    cancel = replica.environment.timer(periodMs, () => {
      if (replica.stopped) return;
      look();
      schedule();
    });
  };
  schedule();
  return () => cancel();
}
