/** The classic script: the global `Widecast`, and the page's own BroadcastChannel if its tag says so. */
import { connect, WidecastChannel, WidecastError } from "./index.js";

// Also where this text is run inside of a function. Each by its name: a bundler's object of all exports takes more than this file.
Object.assign(globalThis, { Widecast: { connect, WidecastChannel, WidecastError } });

if (globalThis.document?.currentScript?.hasAttribute("data-replace-broadcast-channel")) {
  Object.defineProperty(globalThis, "BroadcastChannel", { value: WidecastChannel, writable: true, configurable: true });
}
