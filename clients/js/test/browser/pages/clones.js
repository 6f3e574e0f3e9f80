// The structured-clone battery: each value is posted, and looked at where it arrives.

import { equal } from "./battery.js";

const tag = (value) => Object.prototype.toString.call(value);

/** Compares a value with its copy, deeply, by type. */
export async function same(copy, value, path = "value", seen = new Map()) {
  if (typeof value !== "object" || value === null) return equal(copy, value, path);
  if (seen.has(value)) return equal(copy === seen.get(value), true, `${path} is shared`);
  seen.set(value, copy);
  equal(tag(copy), tag(value), path);
  equal(copy !== value, true, `${path} is a copy`);
  const primitive = value.valueOf();
  if (typeof primitive !== "object") equal(copy.valueOf(), primitive, path);
  const own = COMPARE[tag(value).slice(8, -1)];
  if (own) await own(copy, value, path, seen);
  equal(Object.keys(copy), Object.keys(value), `keys of ${path}`);
  if (ArrayBuffer.isView(value) || value instanceof FileList_) return;
  for (const key of Object.keys(value)) await same(copy[key], value[key], `${path}.${key}`, seen);
}

const FileList_ = globalThis.FileList ?? class {};
const bytes = (buffer) => [...new Uint8Array(buffer)];
const fields =
  (...names) =>
  (copy, value, path) =>
    names.forEach((name) => equal(copy[name], value[name], `${path}.${name}`));

function pixels(image) {
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, image.width, image.height).data];
}

const COMPARE = {
  RegExp: fields("source", "flags", "lastIndex"),
  Array: fields("length"),
  async Map(copy, value, path, seen) {
    equal(copy.size, value.size, path);
    const entries = [...copy];
    let i = 0;
    for (const [key, each] of value) {
      await same(entries[i][0], key, `${path} key ${i}`, seen);
      await same(entries[i++][1], each, `${path} value ${i}`, seen);
    }
  },
  async Set(copy, value, path, seen) {
    equal(copy.size, value.size, path);
    const values = [...copy];
    let i = 0;
    for (const each of value) await same(values[i], each, `${path} ${i++}`, seen);
  },
  async Error(copy, value, path, seen) {
    fields("name", "message")(copy, value, path);
    equal(Object.getPrototypeOf(copy).name, Object.getPrototypeOf(value).name);
    equal(Object.hasOwn(copy, "cause"), Object.hasOwn(value, "cause"), `${path}.cause`);
    if (Object.hasOwn(value, "cause")) await same(copy.cause, value.cause, `${path}.cause`, seen);
  },
  DOMException: fields("name", "message", "code"),
  async Blob(copy, value, path) {
    fields("size", "type")(copy, value, path);
    equal(bytes(await copy.arrayBuffer()), bytes(await value.arrayBuffer()), path);
  },
  async File(copy, value, path) {
    fields("name", "lastModified")(copy, value, path);
    await COMPARE.Blob(copy, value, path);
  },
  async FileList(copy, value, path, seen) {
    equal(copy.length, value.length, path);
    for (let i = 0; i < value.length; i++) await same(copy[i], value[i], `${path}[${i}]`, seen);
  },
  ArrayBuffer(copy, value, path) {
    equal(bytes(copy), bytes(value), path);
    fields("resizable", "maxByteLength")(copy, value, path);
  },
  ImageData(copy, value, path) {
    fields("width", "height", "colorSpace")(copy, value, path);
    equal([...copy.data], [...value.data], path);
  },
  ImageBitmap(copy, value, path) {
    fields("width", "height")(copy, value, path);
    equal(pixels(copy), pixels(value), path);
  },
  DOMPoint: fields("x", "y", "z", "w"),
  DOMPointReadOnly: fields("x", "y", "z", "w"),
  DOMRect: fields("x", "y", "width", "height"),
  DOMRectReadOnly: fields("x", "y", "width", "height"),
  DOMQuad: (copy, value, path) => ["p1", "p2", "p3", "p4"].forEach((p) => COMPARE.DOMPoint(copy[p], value[p], `${path}.${p}`)),
  DOMMatrix(copy, value, path) {
    equal([...copy.toFloat64Array()], [...value.toFloat64Array()], path);
    fields("is2D")(copy, value, path);
  },
};
COMPARE.DOMMatrixReadOnly = COMPARE.DOMMatrix;
COMPARE.DataView = (copy, value, path) => {
  equal([copy.byteOffset, copy.byteLength], [value.byteOffset, value.byteLength], path);
  equal(bytes(copy.buffer), bytes(value.buffer), path);
};
for (const kind of [
  "Int8",
  "Uint8",
  "Uint8Clamped",
  "Int16",
  "Uint16",
  "Int32",
  "Uint32",
  "Float32",
  "Float64",
  "BigInt64",
  "BigUint64",
]) {
  COMPARE[`${kind}Array`] = (copy, value, path) => {
    equal([...copy], [...value], path);
    COMPARE.DataView(copy, value, path);
  };
}

const STRINGS = ["", "this is a sample string", "\ud800\udc00", "\ud800", "\udc00", "\0", "a\ud800b\udc00", "\ufeffx"];
const NUMBERS = [
  0,
  -0,
  0.2,
  -0.2,
  NaN,
  Infinity,
  -Infinity,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  9007199254740992,
  9007199254740994,
  -4294967296.5,
];
const BIGINTS = [0n, -0n, -9007199254740994000n, 9007199254740994000n, -(2n ** 200n)];
const PRIMITIVES = [undefined, null, true, false, ...STRINGS, ...NUMBERS, ...BIGINTS];
const BOXED = [true, false, ...STRINGS, ...NUMBERS, ...BIGINTS].map(Object);
const DATES = [new Date(0), new Date(-0), new Date(8.64e15), new Date(-8.64e15), new Date(NaN), new Date(123456.789)];
const regexp = (source, flags = "") => Object.assign(new RegExp(source, flags), { lastIndex: 0 });
const REGEXPS = ["foo", "", "/", "\n", "[/]", "(?:a|b)\\/"].flatMap((source) =>
  ["", "g", "giu", "msy", "d"].map((flags) => regexp(source, flags)),
);
const SURROGATES = ["\ud800", "\udc00"];
/** The same on every machine. */
const AT = { lastModified: 1_700_000_000_000 };
const BLOBS = () => [
  new Blob(["this is a sample blob"]),
  new Blob([]),
  new Blob(["\0"]),
  ...SURROGATES.map((half) => new Blob([half])),
  new Blob([new Uint8Array([237, 160, 128])]),
  new Blob(["x"], { type: "text/x-bar" }),
  new File(["this is a sample file"], "file.txt", { type: "text/plain", lastModified: 42 }),
  new File([], "", AT),
  new File(["x"], "dir/ä\ud83d\ude00", AT),
];
const ERRORS = () => [
  new Error("what"),
  new EvalError("what"),
  new RangeError("ever"),
  new ReferenceError("ever"),
  new SyntaxError("ever"),
  new TypeError("ever"),
  new URIError("ever"),
  new Error(),
  new Error("e", { cause: new TypeError("inner", { cause: null }) }),
  new Error("e", { cause: undefined }),
  new DOMException("a", "DataCloneError"),
  new DOMException(),
];
const VIEWS = () => {
  const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).buffer;
  return [
    buffer,
    new ArrayBuffer(0),
    new DataView(buffer),
    new DataView(buffer, 3, 4),
    new Uint8Array(buffer),
    new Uint8Array(buffer, 2, 3),
    new Int8Array([-1]),
    new Uint8ClampedArray([300]),
    new Int16Array([-2]),
    new Uint16Array([2]),
    new Int32Array(buffer, 4),
    new Uint32Array([4]),
    new Float32Array([NaN, -0]),
    new Float64Array([1e300]),
    new BigInt64Array([-1n]),
    new BigUint64Array([2n ** 63n]),
    new Uint8Array(),
  ];
};

function images(inAllEngines = true) {
  const image = (rgba) => {
    const made = new ImageData(2, 1);
    made.data.set([...rgba, ...rgba]);
    return made;
  };
  // Firefox has no other colour spaces.
  const wide = !inAllEngines && "colorSpace" in ImageData.prototype ? [new ImageData(1, 1, { colorSpace: "display-p3" })] : [];
  return [image([0, 0, 0, 0]), image([100, 101, 102, 255]), image([9, 8, 7, 6]), ...wide];
}

const bitmaps = () =>
  Promise.all(
    images()
      .slice(0, 2)
      .map((image) => createImageBitmap(image)),
  );

function geometry() {
  if (typeof DOMPoint === "undefined") return [];
  return [
    new DOMPoint(1, 2, 3, 4),
    new DOMPointReadOnly(-0, NaN, Infinity, 0.5),
    new DOMRect(1, 2, 3, 4),
    new DOMRectReadOnly(-1, -2, -3, -4),
    new DOMQuad({ x: 1 }, { y: 2 }, { z: 3 }, { w: 4 }),
    new DOMMatrix([1, 2, 3, 4, 5, 6]),
    new DOMMatrixReadOnly(Array.from({ length: 16 }, (_, i) => i)),
  ];
}

function fileLists() {
  if (typeof DataTransfer === "undefined") return [];
  const transfer = new DataTransfer();
  const empty = new DataTransfer().files;
  transfer.items.add(new File(["in a list"], "list.txt", AT));
  return [empty, transfer.files];
}

function shapes() {
  const sparse = new Array(10);
  const holes = [, , 1, , undefined];
  const named = Object.assign(["a"], { foo: "bar", 7.5: 1, "-1": 2 });
  const proto = JSON.parse('{"__proto__":{"x":1},"constructor":2,"hasOwnProperty":3}');
  const self = { list: [] };
  self.self = self;
  self.list.push(self.list, self);
  const map = new Map();
  map.set(map, new Set([map]));
  const date = new Date(5);
  const blob = new Blob(["shared"]);
  let deep = 1;
  for (let i = 0; i < 300; i++) deep = i % 2 ? [deep] : new Map([[{}, { deep }]]);
  return [
    {},
    [],
    sparse,
    holes,
    named,
    proto,
    self,
    map,
    [date, { date }, blob, { blob }],
    deep,
    { a: { b: { c: [1, { d: 2 }] } } },
    { length: 5, 0: "x" },
    { 2: 1, 1: 2, b: 3, a: 4 },
    [
      [1, 2],
      [3, [4]],
    ],
    { undefined, null: null },
    new Map([
      [1, 2],
      [{ a: 1 }, "x"],
      [NaN, undefined],
    ]),
    new Set([1, "1", {}, NaN]),
  ];
}

/** Groups of values by name; each value is also tried in an object and in an array. */
export async function values(inAllEngines = false) {
  const groups = {
    // Two groups, since with Firefox's stack traces they would be too much for one message over JSONP.
    errors: ERRORS().slice(0, 6),
    "more errors": ERRORS().slice(6),
    primitives: PRIMITIVES,
    boxed: BOXED,
    dates: DATES,
    regexps: REGEXPS,
    blobs: BLOBS(),
    views: VIEWS(),
    images: images(inAllEngines),
    bitmaps: await bitmaps(),
    geometry: geometry(),
    "file lists": fileLists(),
    shapes: shapes(),
  };
  for (const [name, group] of Object.entries(groups)) groups[name] = [...group, group, { group }];
  return groups;
}

/** Posts every value from one channel and compares what another hears. */
export async function battery(from, to) {
  const failures = [];
  const groups = await values();
  for (const [name, group] of Object.entries(groups)) {
    for (const [index, value] of group.entries()) {
      try {
        const heard = new Promise((resolve, reject) => {
          to.onmessage = resolve;
          to.onmessageerror = () => reject(new Error("messageerror"));
          setTimeout(() => reject(new Error("not heard")), 5000);
        });
        from.postMessage(value);
        await same((await heard).data, value, `${name}[${index}]`);
      } catch (error) {
        failures.push(`${name}[${index}]: ${error.message}`);
      }
    }
  }
  return failures;
}

/** Copies have nothing of their class, and only what is enumerable and own. */
export async function special(from, to) {
  const failures = [];
  const clone = (value) =>
    new Promise((resolve, reject) => {
      to.onmessage = ({ data }) => resolve(data);
      to.onmessageerror = () => reject(new Error("messageerror"));
      setTimeout(() => reject(new Error("not heard")), 5000);
      from.postMessage(value);
    });
  const check = async (name, test) => {
    try {
      await test();
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
  };
  await check("class instances are plain objects", async () => {
    class Custom {
      own = 1;
      method() {}
    }
    const copy = await clone(new Custom());
    equal(Object.getPrototypeOf(copy), Object.prototype);
    equal(Object.keys(copy), ["own"]);
  });
  await check("only enumerable own properties travel, as plain ones", async () => {
    const value = Object.create({ inherited: 1 }, { hidden: { value: 2 }, shown: { get: () => 3, enumerable: true } });
    value[Symbol.iterator] = 4;
    const copy = await clone(value);
    equal(Reflect.ownKeys(copy), ["shown"]);
    const { writable, configurable, enumerable } = Object.getOwnPropertyDescriptor(copy, "shown");
    equal([copy.shown, writable, configurable, enumerable], [3, true, true, true]);
  });
  await check("Object.prototype is an ordinary object", async () => {
    const copy = await clone(Object.prototype);
    equal(Object.getPrototypeOf(copy), Object.prototype);
    equal(Object.keys(copy), []);
  });
  await check("the last index of a regular expression is not kept", async () => {
    equal((await clone(Object.assign(/x/g, { lastIndex: 7 }))).lastIndex, 0);
  });
  await check("a subclass of a platform object is the platform's", async () => {
    class Image extends ImageData {}
    equal(Object.getPrototypeOf(await clone(new Image(1, 1))), ImageData.prototype);
    class Mine extends Map {}
    equal(Object.getPrototypeOf(await clone(new Mine([[1, 2]]))), Map.prototype);
  });
  await check("views keep their buffer together", async () => {
    const buffer = new ArrayBuffer(8);
    const [one, two, view] = await clone([new Uint8Array(buffer), new Uint16Array(buffer, 2, 1), new DataView(buffer, 1)]);
    equal([one.buffer === two.buffer, view.buffer === one.buffer, two.byteOffset, view.byteLength], [true, true, 2, 7]);
  });
  await check("resizable buffers can be resized, and views follow", async () => {
    const buffer = new ArrayBuffer(4, { maxByteLength: 16 });
    const copy = await clone({
      buffer,
      all: new Uint8Array(buffer),
      view: new DataView(buffer),
      part: new Uint8Array(buffer, 0, 2),
    });
    copy.buffer.resize(8);
    equal([copy.buffer.maxByteLength, copy.all.length, copy.view.byteLength, copy.part.length], [16, 8, 8, 2]);
  });
  await check("what cannot be cloned is a DataCloneError", async () => {
    const refused = [
      () => {},
      Symbol(),
      new WeakMap(),
      Promise.resolve(),
      new Response(),
      globalThis,
      function* () {}.call(),
      new SharedArrayBuffer_(1),
    ];
    for (const value of refused.filter((each) => each !== undefined)) {
      try {
        from.postMessage({ value });
      } catch (error) {
        equal([error instanceof DOMException, error.name, error.code], [true, "DataCloneError", 25], tag(value));
        continue;
      }
      throw new Error(`${tag(value)} was cloned`);
    }
  });
  const thrownFor = (value) => {
    try {
      from.postMessage(value);
    } catch (error) {
      return error;
    }
    throw new Error("it was cloned");
  };
  await check("a detached buffer is a DataCloneError", async () => {
    const buffer = new ArrayBuffer(1);
    structuredClone(buffer, { transfer: [buffer] });
    equal(thrownFor(buffer).name, "DataCloneError");
  });
  await check("a view beyond the end of its buffer is a DataCloneError", async () => {
    const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
    const views = [new Uint8Array(buffer, 8), new DataView(buffer, 8)];
    buffer.resize(0);
    for (const view of views) equal(thrownFor(view).name, "DataCloneError");
  });
  await check("what a getter throws is thrown", async () => {
    const thrown = new Error("mine");
    equal(
      thrownFor({
        get value() {
          throw thrown;
        },
      }) === thrown,
      true,
    );
  });
  await check("a type that the page has deleted is cloned as ever", async () => {
    const { Blob } = globalThis;
    delete globalThis.Blob;
    try {
      equal((await clone(new Blob(["x"]))) instanceof Blob, true);
    } finally {
      globalThis.Blob = Blob;
    }
  });
  return failures;
}

/** Hidden from pages that are not isolated; WebAssembly still has it. */
const SharedArrayBuffer_ =
  globalThis.SharedArrayBuffer ?? new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.constructor;
