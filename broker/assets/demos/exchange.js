// The exchange is one of the pages: whoever hears no quotes for a while publishes some, over a WebSocket of its own.
export const now = () => performance.timeOrigin + performance.now(); // finer than Date.now()

/** Returns what is to be called with every quote that is heard, and says by `changed` whether this page is the exchange. */
export function openExchange(signal, changed) {
  const id = Math.random();
  let price = 100;
  let heardAt = now();
  let socket;

  const timer = setInterval(() => {
    if (document.hidden) return close(); // its timers would be slow
    if (!socket && now() - heardAt > 1000 + 1000 * id) open();
    if (socket?.readyState !== WebSocket.OPEN) return;
    price *= 1 + (Math.random() - 0.5) / 200;
    socket.send(JSON.stringify({ exchange: id, price, at: now() }));
  }, 200);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    close();
  });

  function open() {
    socket = new WebSocket(`${location.origin.replace("http", "ws")}/channels/demos:ticker/ws`);
    socket.onclose = close;
    changed(true);
  }

  function close() {
    socket?.close();
    socket = undefined;
    changed(false);
  }

  return (quote) => {
    heardAt = now();
    if (quote.exchange === id) return;
    price = quote.price; // whoever takes over goes on from here
    if (socket && quote.exchange < id) close(); // two at once: one gives way
  };
}
