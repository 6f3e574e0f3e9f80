/**
 * `onmessage` and its like (https://html.spec.whatwg.org/multipage/webappapis.html#event-handler-attributes): a handler takes
 * its place among the listeners when it is first set, and gives it up when it is set to null.
 */
export class Handlers {
  readonly #target: EventTarget;
  readonly #set = new Map<string, { handler: object; call: (event: Event) => void }>();

  constructor(target: EventTarget) {
    this.#target = target;
  }

  get(type: string): unknown {
    return this.#set.get(type)?.handler ?? null;
  }

  set(type: string, handler: unknown): void {
    const present = this.#set.get(type);
    const isObject = typeof handler === "function" || (typeof handler === "object" && handler !== null);
    if (!isObject) {
      if (present) this.#target.removeEventListener(type, present.call);
      this.#set.delete(type);
      return;
    }
    if (present) {
      present.handler = handler as object;
      return;
    }
    const entry = {
      handler: handler as object,
      call: (event: Event): void => {
        if (typeof entry.handler !== "function") return;
        if ((entry.handler as (event: Event) => unknown).call(this.#target, event) === false) event.preventDefault();
      },
    };
    this.#set.set(type, entry);
    this.#target.addEventListener(type, entry.call);
  }
}
