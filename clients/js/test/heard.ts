/** What a channel has heard, for tests to wait for. */

export class Ear {
  readonly events: MessageEvent[] = [];
  #wake: () => void = () => {};

  constructor(target: EventTarget, ...types: string[]) {
    for (const type of types.length ? types : ["message"]) {
      target.addEventListener(type, (event) => {
        this.events.push(event as MessageEvent);
        this.#wake();
      });
    }
  }

  get data(): unknown[] {
    return this.events.map((event) => event.data as unknown);
  }

  /** Waits until so many were heard, and returns their data. */
  async until(count: number, patience = 20_000): Promise<unknown[]> {
    const deadline = Date.now() + patience;
    while (this.events.length < count) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`heard ${this.events.length} of ${count}: ${JSON.stringify(this.data).slice(0, 300)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, left);
      });
    }
    return this.data;
  }
}
