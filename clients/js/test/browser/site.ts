/**
 * A site on a port of its own: the pages of this folder and the built client, below any host name of this machine, with the
 * headers that `?headers=` asks for.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const PAGES = fileURLToPath(new URL("pages/", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../../../broker/assets/client/", import.meta.url));
const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  map: "application/json",
};

export interface Site {
  port: number;
  /** Answers the requests for `/hang`. */
  release(): void;
  close(): void;
}

export async function startSite(): Promise<Site> {
  const hanging: ServerResponse[] = [];
  const server = createServer(async (request, response) => {
    const { pathname: path, searchParams } = new URL(request.url!, "http://site");
    const file = path.startsWith("/client/") ? CLIENT + path.slice(8) : PAGES + path.slice(1);
    if (path === "/favicon.ico") return void response.writeHead(204).end();
    if (path === "/hang") return void hanging.push(response);
    if (path === "/slow") return void setTimeout(() => response.writeHead(204).end(), 1000);
    try {
      const body = path === "/" ? "<!doctype html><meta charset=utf-8><title>page</title>" : await readFile(file);
      const type = path === "/" ? TYPES["html"] : TYPES[/\w+$/.exec(path)![0]];
      const wanted = JSON.parse(searchParams.get("headers") ?? "{}") as Record<string, string>;
      response
        .writeHead(200, { "content-type": type, "cache-control": "no-cache", "service-worker-allowed": "/", ...wanted })
        .end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    release: () => hanging.splice(0).forEach((response) => void response.end()),
    close: () => void server.close(),
  };
}
