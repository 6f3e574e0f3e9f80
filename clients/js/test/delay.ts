/** A far network before the broker: every byte takes its time, in both directions. */
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";

export interface Delay {
  url: string;
  close(): void;
}

/** `ms`: the time of one way. */
export async function startDelay(upstream: string, ms: number): Promise<Delay> {
  const { hostname, port } = new URL(upstream);
  const sockets = new Set<Socket>();
  const carry = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on("data", (bytes) => void setTimeout(() => to.write(bytes), ms));
    from.on("close", () => (sockets.delete(from), setTimeout(() => to.destroy(), ms)));
    from.on("error", () => {});
  };
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    carry(near, far);
    carry(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => (server.close(), sockets.forEach((socket) => void socket.destroy())),
  };
}
