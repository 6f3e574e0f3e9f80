const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** An unguessable name of 6 bits a letter. */
export function randomName(length: number): string {
  let name = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(length))) name += LETTERS[byte & 63];
  return name;
}
