import { type Budget, type Sliced } from "./budget.ts";
import { type Command, type RefusedReason, type Reply } from "./commands.ts";
import { type Lease, LEASE_TTL_MIN_SECONDS, LEASES_MAX } from "./leases.ts";
import { sortSlots } from "./slot-sort.ts";
import { STAMP_GRAIN_MS, type Store } from "./store.ts";

export type LeaseCommand = Extract<
  Command,
  { readonly type: "leaseGrant" | "leaseRevoke" | "leaseKeepAlive" | "leaseExpire" | "leaseTimeToLive" }
>;

/** Why a lease command cannot be done, or undefined. */
export function checkLease({ leases }: Store, command: LeaseCommand): RefusedReason | undefined {
  switch (command.type) {
    case "leaseGrant":
      if (leases.has(command.id)) return "leaseExists";
      return leases.count >= LEASES_MAX ? "tooManyLeases" : undefined;
    case "leaseRevoke":
      return leases.has(command.id) ? undefined : "leaseNotFound";
    case "leaseKeepAlive":
    case "leaseExpire":
    case "leaseTimeToLive":
      return undefined;
  }
}

/** `nowMs`: cluster time of the entry. The command was checked. */
export function* applyLease(store: Store, command: LeaseCommand, nowMs: number, budget: Budget): Sliced<Reply> {
  switch (command.type) {
    case "leaseGrant": {
      const ttlSeconds = Math.max(command.ttlSeconds, LEASE_TTL_MIN_SECONDS);
      store.leases.set(lasting(command.id, ttlSeconds, nowMs));
      return { type: "leaseGrant", id: command.id, ttlSeconds };
    }
    case "leaseRevoke":
      return { type: "leaseRevoke", deleted: yield* revoke(store, command.id, budget) };
    case "leaseKeepAlive":
      return { type: "leaseKeepAlive", ttls: command.ids.map((id) => renew(store, id, nowMs)) };
    case "leaseExpire": {
      // Renewed since the leader looked, or gone: nothing to do. The leader's clock is never ahead of its entry's stamp.
      const lease = store.leases.get(command.id);
      if (lease?.deadlineMs !== command.deadlineMs || lease.deadlineMs > nowMs) return { type: "ok" };
      return { type: "leaseRevoke", deleted: yield* revoke(store, command.id, budget) };
    }
    case "leaseTimeToLive":
      return yield* timeToLive(store, command, nowMs, budget);
  }
}

function lasting(id: bigint, ttlSeconds: number, nowMs: number): Lease {
  return { id, ttlSeconds, deadlineMs: nowMs + STAMP_GRAIN_MS + 1000 * ttlSeconds };
}

/** @returns seconds, or 0 when there is no such lease. */
function renew({ leases }: Store, id: bigint, nowMs: number): number {
  const lease = leases.get(id);
  if (lease === undefined) return 0;
  leases.set(lasting(id, lease.ttlSeconds, nowMs));
  return lease.ttlSeconds;
}

/** Takes the lease and all its keys away, in the order of the keys, in one revision. @returns how many keys */
function* revoke(store: Store, id: bigint, budget: Budget): Sliced<number> {
  const slots = yield* sortedKeys(store, id, budget);
  store.begin();
  for (const slot of slots) {
    store.remove(store.keys.read(slot));
    if (budget.spend()) yield;
  }
  store.commit();
  store.leases.delete(id);
  return slots.length;
}

function* timeToLive(
  store: Store,
  { id, keys }: { readonly id: bigint; readonly keys: boolean },
  nowMs: number,
  budget: Budget,
): Sliced<Reply> {
  const lease = store.leases.get(id);
  if (lease === undefined) return { type: "leaseTimeToLive", ttlSeconds: -1, grantedSeconds: 0, keys: [] };
  return {
    type: "leaseTimeToLive",
    ttlSeconds: Math.max(0, Math.floor((lease.deadlineMs - nowMs) / 1000)),
    grantedSeconds: lease.ttlSeconds,
    keys: keys ? (yield* sortedKeys(store, id, budget)).map((slot) => store.keys.read(slot)) : [],
  };
}

function* sortedKeys({ leases, keys }: Store, id: bigint, budget: Budget): Sliced<number[]> {
  const slots = leases.keysOf(id);
  yield* sortSlots(slots, (left, right) => keys.compareSlots(left, right), budget);
  return slots;
}
