/** The two ways to ask for something that every old browser has. */
import { randomName } from "./random.js";
import type { Address } from "./transports.js";

/** Is told the answer, or why there is none; never before the request was sent. */
export type Done = (error: string | undefined, answer: any) => void;

/** Asks for text; `progress` hears all of it that is there, again and again. Returns a function that ends it without a word. */
export function requestText(
  method: string,
  address: Address,
  path: string,
  parameters: Record<string, string>,
  done: Done,
  body?: string,
  progress?: (text: string) => void,
): () => void {
  var request = new XMLHttpRequest();
  var isOver = false;
  var end = (error: string | undefined, answer?: string): void => {
    if (!isOver) done(error, answer);
    isOver = true;
  };
  request.onreadystatechange = () => {
    var state = request.readyState;
    if (isOver || state < 3) return;
    var text = "";
    try {
      text = request.responseText;
    } catch (error) {
      // Internet Explorer 9 shows nothing before the end.
      if (state === 3) return;
    }
    var isGood = request.status >= 200 && request.status < 300;
    if (isGood && progress) progress(text);
    if (state < 4) return;
    // Internet Explorer throws when there was no answer at all.
    if (request.status) postpone(address, (request.getResponseHeader("Retry-After") as any) * 1000);
    end(isGood ? undefined : reasonOf(request.status, text), text);
  };
  try {
    // A string is sent as text/plain, for which the browser needs no leave of another server.
    request.open(method, address(path, parameters), true);
    request.withCredentials = address.withCredentials!;
    request.send(body);
  } catch (error) {
    setTimeout(() => end(String(error)));
  }
  return () => {
    isOver = true;
    request.abort();
  };
}

function reasonOf(status: number, text: string): string {
  var problem = parse(text);
  return problem ? problem.code + ": " + problem.detail : "answered " + status;
}

/** Keeps what the broker says of when to come back; those who were told the same do not come back together. */
function postpone(address: Address, wait: number): void {
  if (wait) address.wait = wait * (1 + Math.random());
}

/** The value of a JSON text, or nothing. */
export function parse(text: string): any {
  try {
    return JSON.parse(text);
  } catch (error) {
    return undefined;
  }
}

/** Loads a script that calls a function whose name nobody can guess with the answer. */
export function requestScript(address: Address, path: string, parameters: Record<string, string>, done: Done): void {
  var callback = "widecast_" + randomName(20);
  var scope = window as any;
  var script = document.createElement("script");
  var error: string | undefined = "no answer";
  var answer: any;
  scope[callback] = (value: any) => {
    answer = value;
    var refusal = value.error;
    error = refusal && refusal.code + ": " + refusal.message;
    if (refusal) postpone(address, refusal.retry_after_ms);
  };
  script.onload = script.onerror = () => {
    script.onload = script.onerror = null;
    script.parentNode!.removeChild(script);
    // Where it cannot be deleted it is at least gone.
    scope[callback] = undefined;
    delete scope[callback];
    done(error, answer);
  };
  parameters["callback"] = callback;
  script.src = address(path, parameters);
  document.getElementsByTagName("head")[0]!.appendChild(script);
}
