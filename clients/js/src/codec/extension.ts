/** The codes of those MessagePack extensions that are more than a name and a body: see the whole table in `value_types.ts`. */
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
