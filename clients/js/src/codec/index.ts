export { concat } from "./concat.js";
export { encode } from "./encode.js";
export { compress, inflate } from "./gzip.js";
export { fromJson } from "./json.js";
export { Reader } from "./reader.js";
export { type Encoded, extension, type Plain, raw, utf8Length, write } from "./writer.js";
