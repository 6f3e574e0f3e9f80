/** Tokens as a backend signs them, and the secret by which a broker knows them. */
import { createHash, createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SECRET = "0123456789abcdef0123456789abcdef";

/** The key of a backend that may also put clients out, and send to users. */
export const OPERATOR_KEY = `wck_${Buffer.alloc(32, 7).toString("base64url")}`;

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token of user 7 with these rights, for so many seconds from now, and with other claims. */
export function signToken(channels: Record<string, string[]>, seconds = 600, claims: object = {}): string {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ sub: "7", exp, channels, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** Asks something of a broker as the backend. */
export async function asBackend(broker: string, path: string, body: unknown): Promise<void> {
  const headers = { authorization: `Bearer ${OPERATOR_KEY}`, "content-type": "application/json" };
  const answer = await fetch(`${broker}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
}

/** The settings of a broker that takes them and the key, and what removes their files. */
export function tokenSettings(): { settings: Record<string, string>; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), "widecast-token-"));
  const file = join(directory, "jwt.key");
  writeFileSync(file, SECRET);
  const hash = createHash("sha256").update(OPERATOR_KEY).digest("base64url");
  const config = join(directory, "widecast.toml");
  writeFileSync(config, `[[auth.api_key]]\nname = "backend"\nhash = "${hash}"\noperator = true\nallow = { "*" = ["publish"] }\n`);
  return {
    settings: {
      WIDECAST_CONFIG: config,
      WIDECAST_AUTH_JWT_HMAC_SECRET_FILE: file,
      WIDECAST_AUTH_JWT_LEEWAY_MS: "0",
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}
