/** Hears what happens to the page or worker that a connection lives in. */
export interface PageListener {
  /** The network, the page or its visibility is back: an attempt that waits can be made now, and a connection that seems open may not be. */
  woken(): void;
  /** The page goes into the back/forward cache or is frozen, or comes back. */
  cached(isCached: boolean): void;
}

/** Watches until the returned function is called. */
export function watchPage(listener: PageListener): () => void {
  const stop = new AbortController();
  const on = (target: EventTarget | undefined, types: string, handle: (event: Event) => void): void => {
    for (const type of types.split(" ")) target?.addEventListener?.(type, handle, { signal: stop.signal });
  };
  const { document } = globalThis as { document?: Document };
  on(globalThis, "online offline", () => listener.woken());
  on(document, "visibilitychange", () => document!.visibilityState === "visible" && listener.woken());
  // A page that is frozen is kept, too; one that is hidden, or shown for the first time, says that it is not.
  const cached = ({ type, persisted }: Event & { persisted?: boolean }): void => {
    if (persisted !== false) listener.cached(/hide|freeze/.test(type));
  };
  on(document, "freeze resume", cached);
  on(globalThis, "pagehide pageshow", cached);
  return () => stop.abort();
}
