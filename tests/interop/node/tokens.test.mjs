// Tokens that jose has signed, checked with JWK sets in the shapes in which identity providers publish them. The keys are made here.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { SignJWT, exportJWK, exportSPKI, generateKeyPair } from "jose";
import { startBroker } from "./broker.mjs";

const ISSUER = "https://login.example/";
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/** What a provider has in its set beside the key that matters. */
const SHAPES = {
  Auth0: (jwk) => ({ keys: [{ ...jwk, use: "sig", x5t: "Zm9v", x5c: ["MIIDBTCCAe2gAwIBAgIJ"] }] }),
  Keycloak: (jwk, other) => ({
    keys: [
      { ...other, use: "enc", alg: "RSA-OAEP", kid: "for-encryption" },
      { ...jwk, use: "sig", "x5t#S256": "YmFy" },
    ],
  }),
  Cognito: (jwk, other) => ({ keys: [{ ...other, alg: "RS256", kid: "other", use: "sig" }, { ...jwk, use: "sig" }] }),
  "a set with keys of the future": (jwk) => ({
    keys: [{ kty: "AKP", alg: "ML-DSA-44", kid: "post-quantum", pub: "AAAA" }, { ...jwk }],
  }),
};

const directory = mkdtempSync(join(tmpdir(), "widecast-tokens-"));
after(() => rmSync(directory, { recursive: true }));

function file(name, text) {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function sign(algorithm, key, claims = {}, kid = "mine") {
  const token = new SignJWT({ channels: { news: ["publish"] }, ...claims });
  token.setProtectedHeader({ alg: algorithm, typ: "JWT", kid }).setSubject("7").setIssuer(ISSUER);
  return token.setAudience("widecast").setExpirationTime("5m").sign(key);
}

async function publish(broker, token) {
  const answer = await fetch(`${broker.url}/channels/news/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: "x",
  });
  return { status: answer.status, body: await answer.json() };
}

async function brokerWith(test, setting) {
  const settings = [setting, `auth.jwt.issuers=${ISSUER}`, "auth.jwt.audiences=widecast"];
  return startBroker(test, ...settings.flatMap((setting) => ["--set", setting]));
}

for (const algorithm of ALGORITHMS) {
  test(`${algorithm}: a token of jose is taken with the key in PEM and in a JWK set`, async (t) => {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const stranger = await generateKeyPair(algorithm);
    const pem = file(`${algorithm}.pem`, await exportSPKI(pair.publicKey));
    const jwk = { ...(await exportJWK(pair.publicKey)), alg: algorithm, kid: "mine" };
    const set = file(`${algorithm}.jwks`, JSON.stringify({ keys: [jwk] }));
    for (const setting of [`auth.jwt.public_key_files=${pem}`, `auth.jwt.jwks_files=${set}`]) {
      const broker = await brokerWith(t, setting);
      const good = await publish(broker, await sign(algorithm, pair.privateKey));
      assert.equal(good.status, 200, JSON.stringify(good));
      const forged = await publish(broker, await sign(algorithm, stranger.privateKey));
      assert.equal(forged.status, 401);
      assert.match(forged.body.detail, /signature/);
    }
  });
}

describe("JWK sets as providers publish them", () => {
  let pair, jwk, other;
  before(async () => {
    pair = await generateKeyPair("RS256", { extractable: true });
    jwk = { ...(await exportJWK(pair.publicKey)), alg: "RS256", kid: "mine" };
    other = await exportJWK((await generateKeyPair("RS256", { extractable: true })).publicKey);
  });

  for (const [provider, shape] of Object.entries(SHAPES)) {
    test(provider, async (t) => {
      const set = file("provider.jwks", JSON.stringify(shape(jwk, other)));
      const broker = await brokerWith(t, `auth.jwt.jwks_files=${set}`);
      const good = await publish(broker, await sign("RS256", pair.privateKey));
      assert.equal(good.status, 200, JSON.stringify(good));
      const unknown = await publish(broker, await sign("RS256", pair.privateKey, {}, "unheard-of"));
      assert.equal(unknown.status, 401);
      // The key is for RS256 only, as the set says.
      const confused = await publish(broker, await sign("PS256", await asPss(pair.privateKey)));
      assert.equal(confused.status, 401);
      assert.match(confused.body.detail, /no configured key/);
    });
  }

  async function asPss(key) {
    const jwk = await crypto.subtle.exportKey("jwk", key);
    delete jwk.alg;
    return crypto.subtle.importKey("jwk", jwk, { name: "RSA-PSS", hash: "SHA-256" }, true, ["sign"]);
  }
});
