/**
 * The MessagePack extensions for what structured clone knows and JSON does not: the broker's table in
 * `protocol/src/value/types.rs`, against which a test holds this one.
 */

/** The codes of those that are more than a name and a body. */
export const enum Extension {
  undefined = 1,
  BigInt = 3,
  Map = 5,
  Set,
  Error,
  BigIntObject = 11,
  SparseArray,
  Graph,
  Reference,
  TypedArray = 16,
  DataView,
  File = 19,
  Utf16String = 30,
}

/** The names, in the order of their codes, which begin with 1. */
export const NAMES = (
  "undefined,Date,BigInt,RegExp,Map,Set,Error,Boolean,Number,String,BigIntObject,SparseArray,Graph,Reference,ArrayBuffer," +
  "TypedArray,DataView,Blob,File,FileList,ImageData,ImageBitmap,DOMPoint,DOMPointReadOnly,DOMRect,DOMRectReadOnly,DOMQuad," +
  "DOMMatrix,DOMMatrixReadOnly,Utf16String"
).split(",");

/** The code of a name; 0 for none. */
export const codeOf = (name: string): number => NAMES.indexOf(name) + 1;
