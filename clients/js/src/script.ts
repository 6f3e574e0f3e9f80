/** The classic script: the global `Widecast`, and the page's own BroadcastChannel if its tag says so. */
import { WidecastChannel } from "./channel.js";

export * from "./index.js";

if (globalThis.document?.currentScript?.hasAttribute("data-replace-broadcast-channel")) {
  Object.defineProperty(globalThis, "BroadcastChannel", { value: WidecastChannel, writable: true, configurable: true });
}
