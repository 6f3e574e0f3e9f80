// A column of the ticker: price, way up or down, and how long each quote took over its transport.
import { now } from "./exchange.js";
import { transports } from "./transports.js";

export function column(element, quoted, signal) {
  const part = (name) => element.querySelector(`.${name}`);
  element.querySelector("div")?.remove();
  element.append(document.getElementById("column").content.cloneNode(true));
  const prices = [];
  const latencies = [];
  let count = 0;

  function heard(text) {
    const quote = JSON.parse(text);
    quoted(quote);
    const way = Math.sign(quote.price - (prices.at(-1) ?? quote.price));
    keep(prices, quote.price, 60);
    keep(latencies, now() - quote.at, 200);
    part("price").textContent = quote.price.toFixed(2);
    part("arrow").textContent = ["▼", "•", "▲"][way + 1];
    part("arrow").dataset.way = way;
    part("line").setAttribute("points", polyline(prices));
    part("spark").dataset.way = Math.sign(quote.price - prices[0]); // the colour of the whole line
    part("last").textContent = latencies.at(-1).toFixed(1);
    part("median").textContent = quantile(latencies, 0.5).toFixed(1);
    part("p95").textContent = quantile(latencies, 0.95).toFixed(1);
    part("quotes").textContent = ++count;
  }

  // Each column can be paused: it then gives its connection back.
  let playing;
  const play = () => keepRunning(transports[element.dataset.transport], heard, (playing = new AbortController()).signal);
  part("pause").addEventListener("click", ({ currentTarget: button }) => {
    const pause = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", pause);
    if (pause) playing.abort();
    else play();
  });
  signal.addEventListener("abort", () => playing.abort());
  play();
}

/** Runs a transport, and again a second after each end. */
async function keepRunning(transport, heard, signal) {
  const place = {}; // where to resume
  while (!signal.aborted) {
    await transport(heard, signal, place).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function keep(list, item, most) {
  list.push(item);
  if (list.length > most) list.shift();
}

function quantile(list, share) {
  return list.toSorted((a, b) => a - b)[Math.floor(share * (list.length - 1))];
}

function polyline(prices) {
  const low = Math.min(...prices);
  const height = Math.max(...prices) - low || 1;
  return prices.map((price, i) => `${i * 2},${(38 - (36 * (price - low)) / height).toFixed(1)}`).join(" ");
}
