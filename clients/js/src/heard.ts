/** More messages than can be on their way twice: the posts of all tabs that wait for the broker. */
const REMEMBERED = 20_000;

/**
 * The ids of the messages that were heard: one comes from another tab at once, and from the broker when it gets there, in
 * either order. Whoever asks first about an id has not heard it.
 */
export class Heard {
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Whether this is the second time. */
  again(id: string): boolean {
    const isOld = this.#ids.has(id);
    this.#ids.add(id);
    if (this.#ids.size > REMEMBERED) this.#ids.delete(this.#ids.values().next().value!);
    return isOld;
  }
}
