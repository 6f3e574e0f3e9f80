/** A name of 5 bits a letter, unguessable where the platform can make one. */
export function randomName(length: number): string {
  var crypto = window.crypto || (window as never as { msCrypto?: Crypto }).msCrypto;
  var bytes = crypto && typeof Uint8Array === "function" && crypto.getRandomValues(new Uint8Array(length));
  var name = "";
  while (name.length < length) name += (bytes ? bytes[name.length]! & 31 : Math.floor(Math.random() * 32)).toString(32);
  return name;
}
