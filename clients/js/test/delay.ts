/** Networks between the broker and its clients: far, where every byte takes its time, and narrow, where few come in a second. */
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";

export interface Delay {
  url: string;
  close(): void;
}

/** `ms`: the time of one way. */
export const startDelay = (upstream: string, ms: number): Promise<Delay> =>
  start(upstream, (from, to) => {
    from.on("data", (bytes) => void setTimeout(() => to.write(bytes), ms));
    from.on("close", () => setTimeout(() => to.destroy(), ms));
  });

/** A narrow network before the broker: each connection has so many bytes in a second from the broker. */
export const startNarrow = (upstream: string, bytesPerSecond: number): Promise<Delay> =>
  start(upstream, (from, to, isDown) => {
    from.on("data", (bytes: Buffer) => {
      if (!isDown) return void to.write(bytes);
      from.pause();
      const pass = (at: number): void => {
        const end = at + bytesPerSecond / 50;
        to.write(bytes.subarray(at, end));
        setTimeout(() => (end < bytes.length ? pass(end) : from.resume()), 20);
      };
      pass(0);
    });
    from.on("close", () => to.destroy());
  });

/** A network between the broker and its clients; `carry` passes on what comes from one side. */
async function start(upstream: string, carry: (from: Socket, to: Socket, isDown: boolean) => void): Promise<Delay> {
  const { hostname, port } = new URL(upstream);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
  };
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    [near, far].forEach(keep);
    carry(near, far, false);
    carry(far, near, true);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => (server.close(), sockets.forEach((socket) => void socket.destroy())),
  };
}
