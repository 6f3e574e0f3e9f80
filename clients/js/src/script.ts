/** The classic script: the global `Widecast`, and the page's own BroadcastChannel if its tag says so. */
import * as Widecast from "./index.js";

/** Also where this text is run inside of a function. */
Object.assign(globalThis, { Widecast });

if (globalThis.document?.currentScript?.hasAttribute("data-replace-broadcast-channel")) {
  Object.defineProperty(globalThis, "BroadcastChannel", { value: Widecast.WidecastChannel, writable: true, configurable: true });
}
