export { FakeCluster, type FakeClusterOptions } from "./cluster.ts";
export { type Fault, type FaultPlan, FakeApiServer, type SeenRequest } from "./server.ts";
export { Refusal, Storage, type StorageEvent } from "./storage.ts";
