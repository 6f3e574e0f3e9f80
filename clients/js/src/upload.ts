/** A message sent by a request of its own, which tells how much of it has left. */
import type { Receipt, UploadOptions } from "./api.js";
import { encode, type Encoded } from "./codec/index.js";
import { WidecastError } from "./error.js";
import { throughBridge } from "./bridged.js";
import { address, request, type Target } from "./transports/index.js";

/** The bytes of an upload. A form is an object whose repeated fields are arrays, as when the broker reads a form. */
export function encodeUpload(body: unknown): Encoded {
  if (!(body instanceof FormData)) return encode(body);
  const field = (name: string): [string, unknown] => {
    const values = body.getAll(name);
    return [name, values.length > 1 ? values : values[0]];
  };
  return encode(Object.fromEntries([...body.keys()].map(field)));
}

/** The request of an upload. */
export interface Parcel {
  channel: string;
  parameters: Record<string, string>;
  token: string | undefined;
  body: Uint8Array<ArrayBuffer>;
}

/** Is told how many bytes have left, of how many. */
type Progress = (loaded: number, total: number) => void;

/** Sends, and brings the text of the answer. */
type Send = (parcel: Parcel, target: Target, signal: AbortSignal, progress: Progress) => Promise<string>;

/** Posts a message. */
export async function upload(
  parcel: Parcel,
  target: Target,
  send: Send,
  { onprogress, timeout, signal }: UploadOptions,
): Promise<Receipt> {
  if (signal?.aborted) throw signal.reason;
  const stop = new AbortController();
  let failure: unknown = new WidecastError("disconnected", `${target.base.origin} gave no receipt`, true);
  const giveUp = (reason: unknown): void => {
    failure = reason;
    stop.abort();
  };
  signal?.addEventListener("abort", () => giveUp(signal.reason), { signal: stop.signal });
  const timer = timeout && setTimeout(giveUp, timeout, new WidecastError("timeout", "no answer in time", true));
  try {
    const progress: Progress = (loaded, total) =>
      onprogress?.(new ProgressEvent("progress", { lengthComputable: true, loaded, total }));
    const { code, detail, retryable, offset, epoch } = JSON.parse(await send(parcel, target, stop.signal, progress));
    if (!code) return { offset, epoch };
    failure = new WidecastError(code, detail, retryable);
  } catch {
    // There is no answer, or it is not the broker's.
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
  throw failure;
}

/** Sends from this context, with fetch where there is no XMLHttpRequest. */
export const directly: Send = async ({ channel, parameters, token, body }, target, signal, progress) => {
  const path = `channels/${encodeURIComponent(channel)}/messages`;
  const headers = { "content-type": "application/msgpack", ...(token && { authorization: `Bearer ${token}` }) };
  const method = "POST";
  if (!globalThis.XMLHttpRequest) return (await request(target, path, parameters, { method, headers, body, signal })).text();
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open(method, address(target, path, parameters));
    sending.withCredentials = !!target.withCredentials;
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
    sending.upload.onprogress = ({ loaded, total }) => progress(loaded, total);
    sending.onload = () => resolve(sending.response as string);
    sending.onerror = sending.onabort = reject;
    signal.onabort = () => sending.abort();
    sending.send(body);
  });
};

/** Has the frame of a bridge send. */
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
