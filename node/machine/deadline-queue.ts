/**
 * Ends in their order: a binary heap in two arrays, so that a million of them are no objects. What is renewed or taken
 * away stays where it is, and is put right when its old end comes up, so that a renewal costs nothing here.
 */
export class DeadlineQueue<Id extends bigint | number> {
  #ids: Id[] = [];
  /** Ends as they were when they were added. */
  #times: number[] = [];

  get length(): number {
    return this.#ids.length;
  }

  add(id: Id, atMs: number): void {
    this.#ids.push(id);
    this.#times.push(atMs);
    this.#rise(this.#ids.length - 1);
  }

  /** Everything anew. */
  rebuild(all: Iterable<{ readonly id: Id; readonly deadlineMs: number }>): void {
    this.#ids = [];
    this.#times = [];
    for (const { id, deadlineMs } of all) {
      this.#ids.push(id);
      this.#times.push(deadlineMs);
    }
    for (let at = (this.length >> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  /**
   * At most `count` ids whose end is not after `nowMs`, the earliest first. They stay in the queue until they are gone.
   *
   * @param endOf - the present end of an id, or undefined when it is gone
   */
  due(nowMs: number, count: number, endOf: (id: Id) => number | undefined): Id[] {
    const due: Id[] = [];
    const ends: number[] = [];
    const seen = new Set<Id>();
    while (this.length > 0 && (this.#times[0] as number) <= nowMs && due.length < count) {
      const id = this.#ids[0] as Id;
      const end = endOf(id);
      if (end === undefined || seen.has(id)) {
        this.#removeTop();
      } else if (end > (this.#times[0] as number)) {
        this.#times[0] = end;
        this.#sink(0);
      } else {
        seen.add(id);
        due.push(id);
        ends.push(end);
        this.#removeTop();
      }
    }
    for (const [at, id] of due.entries()) this.add(id, ends[at] as number);
    return due;
  }

  #removeTop(): void {
    const id = this.#ids.pop();
    const time = this.#times.pop();
    if (id === undefined || time === undefined || this.length === 0) return;
    this.#ids[0] = id;
    this.#times[0] = time;
    this.#sink(0);
  }

  #rise(from: number): void {
    const [id, time] = this.#take(from);
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((this.#times[parent] as number) <= time) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, id, time);
  }

  #sink(from: number): void {
    const times = this.#times;
    const [id, time] = this.#take(from);
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= times.length) break;
      if (child + 1 < times.length && (times[child + 1] as number) < (times[child] as number)) child += 1;
      if ((times[child] as number) >= time) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, id, time);
  }

  #take(at: number): readonly [id: Id, time: number] {
    return [this.#ids[at] as Id, this.#times[at] as number];
  }

  #put(at: number, id: Id, time: number): void {
    this.#ids[at] = id;
    this.#times[at] = time;
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#ids[from] as Id, this.#times[from] as number);
  }
}
