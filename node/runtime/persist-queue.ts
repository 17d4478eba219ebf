interface Group {
  readonly ready: number;
  durable: boolean;
  readonly whenDurable: () => void;
}

/**
 * Keeps the order of the core's readies while their groups go to the log: a ready counts as persisted only when all
 * before it are, also one that had nothing to write.
 */
export class PersistQueue {
  #groups: Group[] = [];

  get length(): number {
    return this.#groups.length;
  }

  /** A ready without anything to write: as durable as those before it. */
  nothing(ready: number, whenDurable: () => void): void {
    this.#groups.push({ ready, durable: true, whenDurable });
    this.#flush();
  }

  /** A ready whose group is being written. Call what it returns when that is durable. */
  writing(ready: number, whenDurable: () => void): () => void {
    const group: Group = { ready, durable: false, whenDurable };
    this.#groups.push(group);
    return () => {
      group.durable = true;
      this.#flush();
    };
  }

  #flush(): void {
    while (this.#groups[0]?.durable === true) {
      const group = this.#groups.shift();
      group?.whenDurable();
    }
  }
}
