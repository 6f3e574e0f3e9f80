/**
 * `onmessage` and its like (https://html.spec.whatwg.org/multipage/webappapis.html#event-handler-attributes): a handler takes
 * its place among the listeners when it is first set, and gives it up when it is set to null.
 */
export class Handlers {
  readonly #target: EventTarget;
  readonly #entries = new Map<string, EventListenerObject & { handler: unknown }>();

  constructor(target: EventTarget) {
    this.#target = target;
  }

  get(type: string): unknown {
    return this.#entries.get(type)?.handler ?? null;
  }

  set(type: string, handler: unknown): void {
    const target = this.#target;
    const entry = this.#entries.get(type) ?? {
      handler,
      handleEvent(event) {
        if (typeof this.handler === "function" && this.handler.call(target, event) === false) event.preventDefault();
      },
    };
    this.#entries.set(type, entry);
    const isObject = Object(handler) === handler;
    entry.handler = isObject ? handler : null;
    if (isObject) target.addEventListener(type, entry);
    else target.removeEventListener(type, entry);
  }
}
