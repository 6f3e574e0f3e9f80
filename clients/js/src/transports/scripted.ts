/**
 * The transports that are in a script of their own, which the broker serves as `/client/fallbacks.js`: few pages need them. They are made
 * in `fallbacks.ts`.
 */
import type { Listener, Transport, TransportType } from "./transport.js";

/** Opens a transport of the script, which is built by itself: none of the names that both have in common is one that builds shorten. */
type Open = (base: string, sender: string, withCredentials: boolean | undefined, listener: Listener) => Transport;

/** The global that the script leaves behind. A page or worker may also have loaded the script before. */
export type Scripts = { widecastFallbacks?: Record<"sse" | "jsonp", Open> };

const scope = globalThis as Scripts;

const scripted = (name: "sse" | "jsonp", isLastResort: boolean, isPossible: () => boolean): TransportType => ({
  name,
  isLastResort,
  available: () => !!(globalThis.document ?? scope.widecastFallbacks) && isPossible(),
  open({ base, sender, withCredentials }, listener) {
    let transport: Transport | undefined;
    let isClosed = false;
    const src = `${base}client/fallbacks.js`;
    const begin = (): void => {
      const open = scope.widecastFallbacks?.[name];
      if (isClosed) return;
      if (open) transport = open(base.href, sender, withCredentials, listener);
      else listener.closed(`${src} was not loaded`);
    };
    if (scope.widecastFallbacks) {
      begin();
    } else {
      const script = document.createElement("script");
      script.onload = script.onerror = () => {
        script.remove();
        begin();
      };
      script.src = src;
      document.head.append(script);
    }
    return {
      get busy() {
        return transport!.busy;
      },
      send: (commands) => transport!.send(commands),
      close() {
        isClosed = true;
        transport?.close();
      },
    };
  },
});

export const sse = scripted("sse", false, () => !!globalThis.EventSource);

// A script does not say which page asks for it. Pages of opaque origins, which the broker refuses, are not to get around that.
export const jsonp = scripted("jsonp", true, () => !!globalThis.document && origin !== "null");
