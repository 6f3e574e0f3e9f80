// The ticker: all columns, in one tab of this browser.
import { column } from "./column.js";
import { openExchange } from "./exchange.js";

const find = (id) => document.getElementById(id);
let running = new AbortController();

function start() {
  running = new AbortController();
  const quoted = openExchange(running.signal, (isHere) => (find("exchange").dataset.here = isHere));
  for (const element of document.querySelectorAll("[data-transport]")) column(element, quoted, running.signal);
}

// A browser opens at most six HTTP/1.1 connections to a host, and four of the columns hold one each: only one tab of this
// browser runs them.
let waiting = new AbortController();
async function take(steal) {
  waiting.abort();
  const mine = (waiting = new AbortController());
  const late = setTimeout(() => (find("elsewhere").hidden = false), 300);
  try {
    await navigator.locks.request("demos:ticker", steal ? { steal } : { signal: mine.signal }, () => {
      clearTimeout(late);
      find("elsewhere").hidden = true;
      start();
      return new Promise(() => {}); // until the page is closed, or another tab takes it
    });
  } catch (error) {
    clearTimeout(late);
    if (mine.signal.aborted) return;
    if (error.name !== "AbortError") throw error;
    running.abort();
    take(false);
  }
}
find("here").addEventListener("click", () => take(true));
// The scripts of JSONP keep a page loading that has not loaded yet: they have to wait for it.
addEventListener("load", () => {
  if (navigator.locks) take(false);
  else start(); // a page over plain HTTP from another machine
});

// The same broker under its other name is another host, with six connections of its own.
const other = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
if (other) find("other").href = Object.assign(new URL(location), { hostname: other }).href;
else find("other").hidden = true;
