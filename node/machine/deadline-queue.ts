/** The end of something, as it was when it was added. */
interface Deadline {
  readonly id: bigint;
  readonly atMs: number;
}

/**
 * Ends in their order: a binary heap. What is renewed or taken away stays where it is, and is put right when its old end
 * comes up, so that a renewal costs nothing here.
 */
export class DeadlineQueue {
  #heap: Deadline[] = [];

  get length(): number {
    return this.#heap.length;
  }

  add(id: bigint, atMs: number): void {
    this.#heap.push({ id, atMs });
    this.#rise(this.#heap.length - 1);
  }

  /** Everything anew. */
  rebuild(all: Iterable<{ readonly id: bigint; readonly deadlineMs: number }>): void {
    this.#heap = Array.from(all, ({ id, deadlineMs }) => ({ id, atMs: deadlineMs }));
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  /**
   * At most `count` ids whose end is not after `nowMs`, the earliest first. They stay in the queue until they are gone.
   *
   * @param endOf - the present end of an id, or undefined when it is gone
   */
  due(nowMs: number, count: number, endOf: (id: bigint) => number | undefined): bigint[] {
    const due: Deadline[] = [];
    const seen = new Set<bigint>();
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= nowMs && due.length < count; top = this.#heap[0]) {
      const end = endOf(top.id);
      if (end === undefined || seen.has(top.id)) {
        this.#removeTop();
      } else if (end > top.atMs) {
        this.#heap[0] = { id: top.id, atMs: end };
        this.#sink(0);
      } else {
        seen.add(top.id);
        due.push(top);
        this.#removeTop();
      }
    }
    for (const { id, atMs } of due) this.add(id, atMs);
    return due.map(({ id }) => id);
  }

  #removeTop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    let at = from;
    const moved = heap[at] as Deadline;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Deadline;
      if (above.atMs <= moved.atMs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = moved;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    let at = from;
    const moved = heap[at] as Deadline;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Deadline).atMs < (heap[child] as Deadline).atMs) child += 1;
      if ((heap[child] as Deadline).atMs >= moved.atMs) break;
      heap[at] = heap[child] as Deadline;
      at = child;
    }
    heap[at] = moved;
  }
}
