export { concat } from "./concat.js";
export { encode } from "./encode.js";
export { compress, inflate } from "./gzip.js";
export { Reader, read } from "./reader.js";
export { type Encoded, extension, type Plain, raw, utf8Length, write } from "./writer.js";
