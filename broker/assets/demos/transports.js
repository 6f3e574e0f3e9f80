// One channel on five transports, with nothing but what browsers have. Each hands every message to `heard`, until the
// connection ends or the signal aborts.
const channel = "/channels/demos:ticker";
const resume = (cursor) => (cursor ? `&cursor=${cursor}` : "");

export const transports = {
  websocket: (heard, signal) => new Promise((resolve) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}${channel}/ws`);
    socket.onmessage = ({ data }) => heard(data);
    socket.onclose = resolve;
    signal.onabort = () => socket.close();
  }),

  sse: (heard, signal) => new Promise((resolve) => {
    const source = new EventSource(`${channel}/sse`); // after a cut it comes back and resumes by itself
    source.onmessage = ({ data }) => heard(data);
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
    signal.onabort = () => source.close();
  }),

  xhr: (heard, signal, place) => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", `${channel}/stream?${resume(place.cursor)}`);
    let end = 0;
    request.onreadystatechange = () => {
      const text = request.responseText; // all that has come so far: only whole lines are read
      const begin = end;
      end = text.lastIndexOf("\n") + 1;
      for (const line of text.slice(begin, end).split("\n").filter(Boolean)) {
        const message = JSON.parse(line);
        place.cursor = message.cursor;
        heard(message.data);
      }
      if (end > 1_000_000) request.abort(); // the text only grows: begin anew, where this one ended
    };
    request.onloadend = resolve;
    signal.onabort = () => request.abort();
    request.send();
  }),

  async poll(heard, signal, place) {
    while (!signal.aborted) {
      const answer = await fetch(`${channel}/poll?${resume(place.cursor)}`, { signal });
      const { messages, cursor } = await answer.json();
      for (const { data } of messages) heard(data);
      place.cursor = cursor;
    }
  },

  async jsonp(heard, signal, place) {
    while (!signal.aborted) {
      const timeout = place.cursor ? 5 : 0; // the first says at once where the channel ends: without a cursor it would wait
      const { messages, cursor } = await script(`${channel}/poll?timeout=${timeout}${resume(place.cursor)}`);
      if (signal.aborted) return;
      for (const { data } of messages) heard(data);
      place.cursor = cursor;
    }
  },
};

let scripts = 0;
function script(url) {
  return new Promise((resolve, reject) => {
    const name = `jsonp${scripts++}`;
    window[name] = resolve;
    const element = Object.assign(document.createElement("script"), { src: `${url}&callback=${name}` });
    element.onload = element.onerror = ({ type }) => {
      element.remove();
      delete window[name];
      if (type === "error") reject(new Error(url));
    };
    document.head.append(element);
  });
}
