import { readFrames, together } from "../frames.js";
import { OneWay } from "./one_way.js";
import { address, takeSome, type TransportType } from "./transport.js";

export const websocket: TransportType = {
  name: "websocket",
  available: (platform) => !!platform.WebSocket,
  open(target, listener) {
    const url = address(target, "v1/ws");
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new target.platform.WebSocket!(url, "widecast.v1.msgpack");
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => listener.frames(readFrames(new Uint8Array(data as ArrayBuffer)));
    const end = (reason: string): void => {
      socket.onmessage = socket.onclose = socket.onerror = null;
      listener.closed(reason);
    };
    socket.onclose = ({ code, reason }) => end(`${code} ${reason}`);
    socket.onerror = () => {
      if (socket.protocol) return end("the WebSocket failed");
      socket.onclose = null;
      new OneWay(target, listener).refused();
    };
    return {
      get busy() {
        return socket.bufferedAmount > 0;
      },
      send(commands) {
        const queue = [...commands];
        while (queue.length) socket.send(together(takeSome(queue)));
      },
      close() {
        socket.onmessage = socket.onclose = null;
        // An error while closing is nobody's business; without a handler Node's would be thrown.
        socket.onerror = () => {};
        socket.close();
      },
    };
  },
};
