/** A message sent by a request of its own, which tells how much of it has left. */
import { encode, type Encoded } from "./codec/index.js";
import { WidecastError } from "./error.js";
import type { Receipt } from "./outbox.js";

export interface UploadOptions {
  /** Names the event. */
  event?: string | undefined;
  /** Hears how much has left, where there is XMLHttpRequest: in pages and workers, but for service workers. */
  onprogress?: ((event: ProgressEvent) => void) | undefined;
  /** How long it may take, in milliseconds; for ever, if it is not given. */
  timeout?: number | undefined;
  /** Gives it up. */
  signal?: AbortSignal | undefined;
}

/** The bytes of what is uploaded; a form is an object, its repeated fields are arrays, as where a broker reads forms. */
export function encodeUpload(body: unknown): Encoded {
  if (!(body instanceof FormData)) return encode(body);
  const values = (name: string): unknown => (body.getAll(name).length > 1 ? body.getAll(name) : body.get(name));
  return encode(Object.fromEntries([...body.keys()].map((name) => [name, values(name)])));
}

/** What is sent; `fetch` for where there is no XMLHttpRequest. */
interface Parcel {
  url: URL;
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
  fetch: typeof globalThis.fetch;
}

/** Posts a message. */
export async function upload(parcel: Parcel, { onprogress, timeout, signal }: UploadOptions): Promise<Receipt> {
  if (signal?.aborted) throw signal.reason;
  const stop = new AbortController();
  let failure: unknown = new WidecastError("disconnected", `${parcel.url.origin} gave no receipt`, true);
  const giveUp = (reason: unknown): void => {
    failure = reason;
    stop.abort();
  };
  signal?.addEventListener("abort", () => giveUp(signal.reason), { signal: stop.signal });
  const timer = timeout && setTimeout(giveUp, timeout, new WidecastError("timeout", "no receipt in time", true));
  try {
    const send = globalThis.XMLHttpRequest ? byXhr : byFetch;
    const { code, detail, retryable, offset, epoch } = JSON.parse(await send(parcel, stop.signal, onprogress));
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

type Send = (parcel: Parcel, signal: AbortSignal, onprogress: UploadOptions["onprogress"]) => Promise<string>;

const byXhr: Send = ({ url, headers, body }, signal, onprogress) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const name in headers) request.setRequestHeader(name, headers[name]!);
    request.upload.onprogress = onprogress ?? null;
    request.onload = () => resolve(request.response as string);
    request.onerror = request.onabort = reject;
    signal.onabort = () => request.abort();
    request.send(body);
  });

const byFetch: Send = async ({ url, headers, body, fetch }, signal) =>
  (await fetch(url, { method: "POST", headers, body, signal })).text();
