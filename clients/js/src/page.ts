/** What happens to the page or worker that a connection lives in. */
export interface PageListener {
  /** The network, the page or its visibility is back: what waits can be tried now, what seems open may not be. */
  woken(): void;
  /** The page goes into the back/forward cache or is frozen, or comes back. */
  cached(isCached: boolean): void;
}

/** Watches until the returned function is called. */
export function watchPage(listener: PageListener): () => void {
  const stop = new AbortController();
  const on = (target: EventTarget | undefined, type: string, handle: (event: Event) => void): void =>
    target?.addEventListener?.(type, handle, { signal: stop.signal });
  const woken = (): void => listener.woken();
  // A page that is frozen is kept, too; one that is hidden, or shown for the first time, says that it is not.
  const cached = (isCached: boolean) => (event: Event) =>
    (event as Partial<PageTransitionEvent>).persisted !== false && listener.cached(isCached);
  const { document } = globalThis as { document?: Document };
  on(globalThis, "online", woken);
  on(globalThis, "offline", woken);
  on(document, "freeze", cached(true));
  on(document, "resume", cached(false));
  on(document, "visibilitychange", () => document!.visibilityState === "visible" && woken());
  on(globalThis, "pagehide", cached(true));
  on(globalThis, "pageshow", cached(false));
  return () => stop.abort();
}
