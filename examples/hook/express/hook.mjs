// The authorisation hook of Widecast for Express: `app.post("/push/hook", ...hook(secret))`.
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

export const hook = (secret) => [
  express.raw({ type: "application/json", limit: "3mb" }), // The signature is that of the bytes.
  (request, response) => {
    const timestamp = request.get("Widecast-Timestamp") ?? "0";
    const expected = createHmac("sha256", secret.trim()).update(`${timestamp}.`).update(request.body).digest();
    const signature = Buffer.from(request.get("Widecast-Signature") ?? "", "hex");
    const genuine = signature.length === expected.length && timingSafeEqual(signature, expected);
    if (!genuine || Math.abs(Date.now() / 1000 - Number(timestamp)) > 60) return response.sendStatus(403);
    response.json(decide(JSON.parse(request.body)));
  },
];

/** Says yes or no. Replace this by what your application knows: here rooms are for members, and messages have a length. */
function decide({ event, user, channel = "", message }) {
  if (channel.startsWith("members:") && user === null) {
    return { allow: false, code: "unauthorized", reason: `log in to enter ${channel}` };
  }
  if (event === "publish" && message.bytes > 1000) {
    return { allow: false, reason: "a message has at most 1000 bytes here" };
  }
  return { allow: true };
}
