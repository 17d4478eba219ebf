import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** What /proc counts CPU time in (`getconf CLK_TCK`): 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100;
const SYNC_BYTES = 4096;
const SYNC_ROUNDS = 200;

/** Processor seconds that a process has used, user and system. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name in parentheses may hold spaces; field 3 comes right behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory of a process that is in use now, bytes. */
export function residentBytesOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return Number(kibibytes) * 1024;
}

/** Processor seconds that the whole machine has used. */
export function machineCpuSeconds(): number {
  const [first = ""] = readFileSync("/proc/stat", "latin1").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** Median time of an fdatasync of one appended 4-KiB block in `directory`, ms. */
export function fdatasyncMs(directory: string): number {
  const path = join(directory, "fdatasync");
  const file = openSync(path, "w", 0o600);
  try {
    const times: number[] = [];
    for (let round = 0; round < SYNC_ROUNDS; round += 1) {
      writeSync(file, Buffer.alloc(SYNC_BYTES, round));
      const at = performance.now();
      fdatasyncSync(file);
      times.push(performance.now() - at);
    }
    return times.sort((a, b) => a - b)[SYNC_ROUNDS / 2] ?? 0;
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
