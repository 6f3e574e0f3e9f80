/** A message sent by a request of its own, which tells how much of it has left. */
import type { Receipt, UploadOptions } from "./api.js";
import { encode, type Encoded } from "./codec/index.js";
import { WidecastError } from "./error.js";
import { throughBridge } from "./bridged.js";
import { address, type Target } from "./transports/index.js";

/** The bytes of what is uploaded; a form is an object, its repeated fields are arrays, as where a broker reads forms. */
export function encodeUpload(body: unknown): Encoded {
  if (!(body instanceof FormData)) return encode(body);
  const values = (name: string): unknown => (body.getAll(name).length > 1 ? body.getAll(name) : body.get(name));
  return encode(Object.fromEntries([...body.keys()].map((name) => [name, values(name)])));
}

/** What is sent. */
export interface Parcel {
  channel: string;
  parameters: Record<string, string>;
  token: string | undefined;
  body: Uint8Array<ArrayBuffer>;
}

/** Hears how many bytes have left, of how many. */
type Progress = (loaded: number, total: number) => void;

/** Sends, and brings the text of the answer. */
type Send = (parcel: Parcel, target: Target, signal: AbortSignal, progress: Progress) => Promise<string>;

/** Posts a message. */
export async function upload(parcel: Parcel, target: Target, send: Send, { onprogress, timeout, signal }: UploadOptions): Promise<Receipt> {
  if (signal?.aborted) throw signal.reason;
  const stop = new AbortController();
  let failure: unknown = new WidecastError("disconnected", `${target.base.origin} gave no receipt`, true);
  const giveUp = (reason: unknown): void => {
    failure = reason;
    stop.abort();
  };
  signal?.addEventListener("abort", () => giveUp(signal.reason), { signal: stop.signal });
  const timer = timeout && setTimeout(giveUp, timeout, new WidecastError("timeout", "no receipt in time", true));
  try {
    const progress: Progress = (loaded, total) => onprogress?.(new ProgressEvent("progress", { lengthComputable: true, loaded, total }));
    const { code, detail, retryable, offset, epoch } = JSON.parse(await send(parcel, target, stop.signal, progress));
    if (!code) return { offset, epoch };
    failure = new WidecastError(code, detail, retryable);
  } catch {
    // No answer, or not the broker's.
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  throw failure;
}

/** From here, with fetch where there is no XMLHttpRequest. */
export const directly: Send = async ({ channel, parameters, token, body }, target, signal, progress) => {
  const url = address(target, `channels/${encodeURIComponent(channel)}/messages`, parameters);
  const headers = { "content-type": "application/msgpack", ...(token && { authorization: `Bearer ${token}` }) };
  const { fetch } = target.platform;
  if (!globalThis.XMLHttpRequest) return (await fetch!(url, { method: "POST", headers, body, signal })).text();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => progress(loaded, total);
    request.onload = () => resolve(request.response as string);
    request.onerror = request.onabort = reject;
    signal.onabort = () => request.abort();
    request.send(body);
  });
};

/** From the frame of a bridge. */
export const byBridge: Send = (parcel, target, signal, progress) =>
  new Promise((resolve) => {
    const frames = ([loaded, total]: number[]): void => {
      if (total !== undefined) progress(loaded!, total);
    };
    const { close } = throughBridge(["upload", target.sender, parcel], target.base, { frames, closed: resolve });
    signal.onabort = () => {
      close();
      resolve("");
    };
  });
