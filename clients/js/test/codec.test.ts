import { readFileSync } from "node:fs";
import { decode as peerDecode, encode as peerEncode } from "@msgpack/msgpack";
import { describe, expect, test, vi } from "vitest";
import { encode, Reader } from "../src/codec/index.js";
import { fromJson } from "../src/codec/json.js";
import { codeOf, NAMES } from "../src/codec/value_types.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const decode = (bytes: Uint8Array) => {
  expect(new Reader(bytes).skip()).toHaveLength(bytes.length);
  return new Reader(bytes).value();
};
const clone = <T>(value: T): T => decode(encode(value).bytes) as T;

/** As deep as the broker sees a value: each container, extension and pair is a level. */
function depth(bytes: Uint8Array): number {
  const peer = peerDecode(bytes) as unknown;
  const of = (value: unknown): number => {
    if (Array.isArray(value)) return 1 + Math.max(0, ...value.map(of));
    if (value && typeof value === "object") {
      if ("type" in value && "data" in value) return 1 + of(peerDecode((value as { data: Uint8Array }).data));
      if (value instanceof Uint8Array) return 1;
      return 1 + Math.max(0, ...Object.values(value).map(of));
    }
    return 0;
  };
  return of(peer);
}

test("the extensions are those of the broker", async () => {
  const table = readFileSync(new URL("../../../protocol/src/value/types.rs", import.meta.url), "utf8");
  const theirs = [...table.matchAll(/^ {4}(\d+) "(\w+)" "/gm)].map(([, code, name]) => [name, Number(code)]);
  expect(NAMES.map((name) => [name, codeOf(name)])).toEqual(theirs);
  const own = { ...(await import("../src/codec/extension.js")) } as unknown as { Extension: object };
  for (const [name, code] of Object.entries(own.Extension))
    if (typeof code === "number") expect(theirs).toContainEqual([name, code]);
});

test("the codes are those of the broker", () => {
  const source = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
  const theirs = [...source("../../../protocol/src/codes.rs").matchAll(/^ {4}\w+ = "(\w+)",/gm)].map(([, code]) => code);
  const ours = [
    ...source("../src/codes.ts")
      .split("BrokerCode =")[1]!
      .matchAll(/\| "(\w+)"/g),
  ].map(([, code]) => code);
  expect(ours).toEqual(theirs);
});

describe("plain values", () => {
  const values = [
    null,
    true,
    false,
    "",
    "a",
    "ä€😀",
    "x".repeat(31),
    "x".repeat(32),
    "ä".repeat(200),
    "€".repeat(30_000),
    0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    -1,
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    -(2 ** 31),
    -(2 ** 31) - 1,
    Number.MIN_SAFE_INTEGER,
    0.5,
    -1.25e300,
    NaN,
    Infinity,
    -Infinity,
    5e-324,
    2 ** 53,
    2 ** 64,
    [],
    [1, [2, [3]]],
    Array.from({ length: 15 }, (_, i) => i),
    Array.from({ length: 16 }, (_, i) => i),
    Array.from({ length: 70_000 }, () => 7),
    {},
    { a: { b: [{}] } },
    Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])),
    new Uint8Array(),
    new Uint8Array(255),
    new Uint8Array(256),
    new Uint8Array(70_000),
  ];
  test.each(values.map((value) => [value]))("are written as @msgpack/msgpack does, and read back", (value) => {
    const { bytes } = encode(value);
    expect(hex(bytes)).toBe(hex(peerEncode(value, { initialBufferSize: 1 << 20 })));
    expect(decode(bytes)).toEqual(value);
  });

  test("minus zero keeps its sign", () => {
    expect(hex(encode(-0).bytes)).toBe("cb8000000000000000");
    expect(clone([-0, 0])).toEqual([-0, 0]);
  });

  test("an object may have any key", () => {
    const value = JSON.parse('{"__proto__":1,"constructor":2,"length":3,"":4,"2":5,"1":6}');
    const copy = clone(value);
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(Object.entries(copy)).toEqual(Object.entries(value));
    expect(Object.keys(clone({ "\ud800": 1 }))).toEqual(["\ud800"]);
  });

  test("what other languages write is read", () => {
    expect(decode(new Uint8Array([0xca, 0x3f, 0xc0, 0, 0]))).toBe(1.5);
    expect(decode(new Uint8Array([0x82, 0xa1, 0x61, 1, 2, 3]))).toEqual(
      new Map<unknown, unknown>([
        ["a", 1],
        [2, 3],
      ]),
    );
    expect(decode(new Uint8Array([0xd9, 1, 0x61]))).toBe("a");
    expect(decode(new Uint8Array([0xa4, 0xef, 0xbb, 0xbf, 0x61]))).toBe("\ufeffa");
    expect(decode(new Uint8Array([0xd4, 0x70, 9]))).toEqual(new Uint8Array([9]));
  });

  test("what is cut short or broken throws", () => {
    const { bytes } = encode({ a: [1, "two", new Date(3), new Map([[{}, new Set([4])]]), new Error("five")] });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => new Reader(bytes.subarray(0, length)).value()).toThrow();
    }
    for (const broken of [[0xc1], [0xdd, 255, 255, 255, 255], [0xd4, 14, 0], [0xd4, 4, 0xc3], [0xd5, 2, 1, 1], [0xa1, 0xff]]) {
      expect(() => decode(new Uint8Array(broken))).toThrow();
    }
  });
});

describe("structured clone", () => {
  test("has the wire forms of the broker's table", () => {
    const forms: [unknown, string][] = [
      [undefined, "d401c0"],
      [new Date(0), "c70902cb0000000000000000"],
      [new Date(NaN), "d402c0"],
      [12n, "c70303a23132"],
      [/a/g, "c70504" + "92a161a167"],
      [new Map([[1, 2]]), "d605" + "91920102"],
      [new Set([1]), "d506" + "9101"],
      [Object(true), "d408c3"],
      [Object(1), "d40901"],
      [Object("a"), "d50aa161"],
      [Object(1n), "d50ba131"],
      [[, 1], "c7150c" + "82a66c656e67746802a7656e747269657391920101"], // That is the point.
      [new ArrayBuffer(1), "c7030fc40100"],
      [new Uint8Array([1]), "c40101"],
      [new Int8Array([-1]), "c70e1092a9496e74384172726179c401ff"],
      [new DataView(new ArrayBuffer(1)), "c70311c40100"],
      ["\ud800", "d61ec40200d8"],
    ];
    for (const [value, expected] of forms) expect(hex(encode(value).bytes)).toBe(expected);
  });

  test.each(
    [
      undefined,
      [undefined, null],
      NaN,
      -0,
      12345678901234567890n,
      -1n,
      new Date(0),
      new Date(-0),
      new Date(8.64e15),
      new Date(NaN),
      /a\/b\n/giu,
      /(?:)/,
      new Map<unknown, unknown>([
        [{ a: 1 }, new Map()],
        [NaN, undefined],
      ]),
      new Set([1, "1", undefined]),
      Object(false),
      Object(-0),
      Object(NaN),
      Object("\ud800"),
      Object(1n),
      "\udc00",
      "a\ud800b",
      "\0",
      new ArrayBuffer(3),
      new DataView(new ArrayBuffer(4)),
      new Int8Array([-1]),
      new Uint8ClampedArray([300]),
      new Int16Array([-1]),
      new Uint16Array([1]),
      new Int32Array([-1]),
      new Uint32Array([1]),
      new Float32Array([0.5]),
      new Float64Array([-0]),
      new BigInt64Array([-1n]),
      new BigUint64Array([1n]),
      new Uint8Array([1, 2]).subarray(1),
    ].map((value) => [value]),
  )("%o comes back as it was", (value) => {
    const copy = clone({ value }).value;
    expect(copy).toEqual(value);
    expect(Object.prototype.toString.call(copy)).toBe(Object.prototype.toString.call(value));
    expect(Object.is(Number(copy), Number(value)) || typeof value !== "number").toBe(true);
  });

  test("sparse arrays and arrays with names", () => {
    const sparse: unknown[] = [];
    sparse[5] = 1;
    sparse.length = 10;
    const copy = clone(sparse);
    expect(copy.length).toBe(10);
    expect(Object.keys(copy)).toEqual(["5"]);
    const named = Object.assign(["a"], { foo: "bar", "01": 2 });
    expect(Object.entries(clone(named))).toEqual(Object.entries(named));
    expect(clone(new Array(1000)).length).toBe(1000);
  });

  test("errors keep type, message, stack and cause", () => {
    for (const type of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const error = new type("why", { cause: new Error("deeper") });
      const copy = clone(error);
      expect(Object.getPrototypeOf(copy)).toBe(type.prototype);
      expect([copy.name, copy.message, copy.stack]).toEqual([error.name, "why", error.stack]);
      expect((copy.cause as Error).message).toBe("deeper");
      expect(Object.keys(copy)).toEqual([]);
    }
    expect(Object.hasOwn(clone(new Error()), "message")).toBe(false);
    expect(Object.hasOwn(clone(new Error("x")), "cause")).toBe(false);
    const own = Object.assign(new Error("x"), { name: "Custom" });
    expect(Object.getPrototypeOf(clone(own))).toBe(Error.prototype);
    const dom = clone(new DOMException("gone", "AbortError"));
    expect(dom).toBeInstanceOf(DOMException);
    expect([dom.name, dom.message, dom.code]).toEqual(["AbortError", "gone", 20]);
  });

  test("cycles and shared references are kept", () => {
    const date = new Date(1);
    const value: Record<string, unknown> = { list: [date, date], map: new Map(), set: new Set() };
    value["self"] = value;
    (value["map"] as Map<unknown, unknown>).set(value["map"], value["set"]);
    (value["set"] as Set<unknown>).add(value).add(date);
    const error = new Error("e");
    error.cause = { error };
    value["error"] = error;
    const copy = clone(value) as typeof value & { list: unknown[]; error: Error };
    expect(copy["self"]).toBe(copy);
    expect(copy.list[0]).toBe(copy.list[1]);
    expect(copy.list[0]).toEqual(date);
    expect([...(copy["set"] as Set<unknown>)]).toEqual([copy, copy.list[0]]);
    expect((copy["map"] as Map<unknown, unknown>).get(copy["map"])).toBe(copy["set"]);
    expect((copy.error.cause as { error: Error }).error).toBe(copy.error);
    const sparse: unknown[] = [];
    sparse[3] = sparse;
    const again = clone(sparse);
    expect(again[3]).toBe(again);
    expect(Object.keys(again)).toEqual(["3"]);
  });

  test("views that share a buffer still do", () => {
    const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
    const [all, part, view, own] = clone([
      new Uint8Array(buffer),
      new Uint8Array(buffer, 1, 2),
      new DataView(buffer, 2),
      buffer,
    ] as const);
    expect(all.buffer).toBe(own);
    expect(part.buffer).toBe(own);
    expect([...part]).toEqual([2, 3]);
    expect([view.buffer === own, view.byteOffset, view.byteLength]).toEqual([true, 2, 2]);
  });

  test.each([
    ["bytes", (buffer: ArrayBuffer) => new Uint8Array(buffer, 1, 2)],
    ["no bytes", (buffer: ArrayBuffer) => new Uint8Array(buffer, 3, 0)],
    ["numbers", (buffer: ArrayBuffer) => new Uint16Array(buffer, 2, 1)],
    ["a DataView", (buffer: ArrayBuffer) => new DataView(buffer, 3)],
  ])("%s in a larger buffer keep it, and their place in it", (_, view) => {
    const copy = clone(view(new Uint8Array([1, 2, 3, 4, 5, 6]).buffer));
    const { byteOffset, byteLength } = view(new ArrayBuffer(6));
    expect([copy.byteOffset, copy.byteLength]).toEqual([byteOffset, byteLength]);
    expect([...new Uint8Array(copy.buffer)]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("a Buffer of Node's pool leaves what others have written there", () => {
    const secret = Buffer.from("secret");
    const copy = clone(structuredClone(Buffer.from("hello")));
    expect(Buffer.from(copy.buffer).toString()).toBe("hello");
    expect(secret.buffer.byteLength).toBe(Buffer.poolSize);
  });

  test("a part of shared memory is copied", () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(4), 1, 2);
    bytes.set([1, 2]);
    expect([...clone(bytes)]).toEqual([1, 2]);
  });

  test("resizable buffers stay resizable", () => {
    const buffer = new ArrayBuffer(4, { maxByteLength: 16 });
    const copy = clone({ buffer, all: new Uint16Array(buffer), part: new Uint8Array(buffer, 1, 2) });
    expect([copy.buffer.byteLength, copy.buffer.maxByteLength]).toEqual([4, 16]);
    copy.buffer.resize(8);
    expect([copy.all.length, copy.part.length]).toEqual([4, 2]);
    expect(clone(buffer).resizable).toBe(true);
  });

  test("depth is no limit", () => {
    let list: { next: unknown; map?: unknown } = { next: null };
    for (let i = 0; i < 100_000; i++) list = { next: i % 3 ? list : new Map([[i, [list]]]) };
    const { bytes } = encode(list);
    let copy = decode(bytes) as typeof list | null;
    let length = 0;
    for (; copy; length++) {
      const next = copy.next as typeof list | Map<number, [typeof list]> | null;
      copy = next instanceof Map ? [...next.values()][0]![0] : next;
    }
    expect(length).toBe(100_001);
    let nested: unknown = 1;
    for (let i = 0; i < 200; i++) nested = new Map([[Object.assign([], { a: 1 }), nested]]);
    expect(depth(encode(nested).bytes)).toBeLessThan(128);
    expect(depth(bytes)).toBeLessThan(128);
  });

  test("a blob's bytes are filled in later, in their place", async () => {
    const file = new File(["abc"], "a.txt", { type: "text/plain", lastModified: 5 });
    const { bytes, ready } = encode({ blobs: [new Blob(["x".repeat(300)], { type: "a/b" }), file], after: 1 });
    await ready;
    const copy = decode(bytes) as { blobs: [Blob, File]; after: number };
    expect([copy.blobs[0].type, await copy.blobs[0].text()]).toEqual(["a/b", "x".repeat(300)]);
    const { name, type, lastModified } = copy.blobs[1];
    expect([name, type, lastModified, await copy.blobs[1].text()]).toEqual(["a.txt", "text/plain", 5, "abc"]);
    expect(copy.after).toBe(1);
    expect(encode(1).ready).toBeUndefined();
  });

  test("a page that has taken Blob away still gets one", async () => {
    const { bytes, ready } = encode(new Blob(["abc"]));
    await ready;
    vi.stubGlobal("Blob", undefined);
    try {
      expect(await (decode(bytes) as Blob).text()).toBe("abc");
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test("what cannot travel is a DataCloneError", () => {
    for (const value of [
      Symbol("s"),
      () => {},
      { a: [Symbol.iterator] },
      new WeakMap(),
      Promise.resolve(),
      new SharedArrayBuffer(1),
    ]) {
      expect(() => encode(value)).toThrowError(expect.objectContaining({ name: "DataCloneError", code: 25 }));
    }
  });
});

describe("JSON", () => {
  test("is the same value", () => {
    const text = `{"a":[1,-1.5,"x",null,true],"undefined":{"$type":"undefined","value":null},"date":{"$type":"Date","value":5},
      "nan":[{"$type":"number","value":"NaN"},{"$type":"number","value":"-Infinity"}],"bytes":{"$type":"binary","value":"AP8="},
      "map":{"$type":"map","value":[[1,"one"]]},"literal":{"$type":"object","value":{"$type":"Date","value":1}},
      "nested":{"$type":"Map","value":[["k",{"$type":"Set","value":[{"$type":"BigInt","value":"7"}]}]]}}`;
    expect(decode(fromJson(JSON.parse(text)))).toEqual({
      a: [1, -1.5, "x", null, true],
      undefined,
      date: new Date(5),
      nan: [NaN, -Infinity],
      bytes: new Uint8Array([0, 255]),
      map: new Map([[1, "one"]]),
      literal: { $type: "Date", value: 1 },
      nested: new Map([["k", new Set([7n])]]),
    });
  });

  test("what only looks tagged is an object", () => {
    for (const text of [
      '{"$type":"Date"}',
      '{"$type":"Unheard","value":1}',
      '{"$type":"Date","value":1,"more":2}',
      '{"value":1,"$type":"Date"}',
      '{"$type":1,"value":1}',
      '{"$type":"binary","value":"AAE"}',
      '{"$type":"binary","value":1}',
      '{"$type":"number","value":"1"}',
      '{"$type":"map","value":[[1]]}',
      '{"$type":"object","value":[]}',
      '{"$type":"ext","code":500,"value":""}',
      '{"$type":"ext","value":""}',
      '{"$type":"toString","value":1}',
    ]) {
      const value = JSON.parse(text) as unknown;
      expect(decode(fromJson(value))).toEqual(value);
    }
  });
});
