import { base64url } from "./base64url.js";

/** An unguessable name of so many letters, 6 bits each; 4, 8, 12 … */
export const randomName = (length: number): string => base64url(crypto.getRandomValues(new Uint8Array((length / 4) * 3)));
