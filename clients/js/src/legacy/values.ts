/**
 * Values as JSON with tagged objects (docs/protocol.md, section 9), as far as the platform has their types: a tagged object of
 * which it can make nothing stays one.
 *
 * All of `legacy/` is ES5, in its syntax and in the functions that it calls; a newer function is used only where the browser has it.
 */
declare var Map: any, Set: any, BigInt: any;

type Any = any;
type Inner<Out> = (part: Any) => Out;

/** How deep containers may be in each other: the broker takes 128 in JSON, of which an entry of a Map needs three. */
var DEPTH = 40;

/** Half surrogate pairs: UTF-8 does not have them, and the broker would refuse all that is sent together with one. */
var HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?:^|[^\ud800-\udbff])[\udc00-\udfff]/;

/** Throws as the platform does, where its DOMException cannot be made. */
export function fail(name: string, message: string): never {
  var error = new Error(message);
  error.name = name;
  throw error;
}

/** The JSON of a value; throws a DataCloneError for a value that has none. */
export function write(value: Any, depth?: number): string {
  switch (typeof value) {
    case "string":
      return text(value);
    case "number":
      if (!isFinite(value)) return tagged("number", quote(String(value)));
      return value || 1 / value > 0 ? String(value) : "-0";
    case "boolean":
      return String(value);
    case "undefined":
      return tagged("undefined", "null");
    case "bigint":
      return tagged("BigInt", quote(String(value)));
    case "object":
      return value ? writeObject(value, depth || 0) : "null";
  }
  return fail("DataCloneError", "a " + typeof value + " cannot be sent");
}

function writeObject(value: Any, depth: number): string {
  if (depth > DEPTH) fail("DataCloneError", "what is cyclic or so deep cannot be sent");
  var inner: Inner<string> = (part) => write(part, depth + 1);
  var kind = Object.prototype.toString.call(value).slice(8, -1);
  if (kind === "Array") return list(value, inner);
  if (has(WRITERS, kind)) return tagged(kind, WRITERS[kind]!(value, inner));
  if (/.Array$/.test(kind)) return writeView(value, kind);
  if (kind !== "Object") fail("DataCloneError", "a " + kind + " cannot be sent");
  var json = "{" + Object.keys(value).map((key) => text(key) + ":" + inner(value[key])) + "}";
  return has(value, "$type") ? tagged("object", json) : json;
}

function writeView(view: Any, kind: string): string {
  var bytes = binary(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  return kind === "Uint8Array" ? bytes : tagged("TypedArray", "[" + quote(kind) + "," + bytes + "]");
}

function text(value: string): string {
  return HALF.test(value) ? fail("DataCloneError", "half a surrogate pair cannot be sent") : quote(value);
}

function has(object: object, key: string): boolean {
  return Object.prototype.hasOwnProperty.call(object, key);
}

var quote: (plain: Any) => string = JSON.stringify;

function tagged(type: string, json: string): string {
  return '{"$type":"' + type + '","value":' + json + "}";
}

/** Also takes an object that only has a length; an entry that is missing is undefined. */
function list(values: Any, inner: Inner<string>): string {
  var parts = [];
  for (var i = 0; i < values.length; i++) parts.push(inner(values[i]));
  return "[" + parts + "]";
}

function binary(bytes: ArrayLike<number>): string {
  var letters = "";
  for (var i = 0; i < bytes.length; i++) letters += String.fromCharCode(bytes[i]!);
  return tagged("binary", quote(btoa(letters)));
}

var boxed = (value: Any): string => write(value.valueOf());

var WRITERS: Record<string, (value: Any, inner: Inner<string>) => string> = {
  Date: (date) => "" + (isNaN(date) ? null : +date),
  RegExp: (pattern) => write([pattern.source, /\w*$/.exec(pattern)![0]]),
  Boolean: boxed,
  Number: boxed,
  String: boxed,
  Error: (error) => write({ name: "" + error.name, message: "" + error.message }),
  Map: (map, inner) => {
    var entries: string[] = [];
    map.forEach((value: Any, key: Any) => entries.push("[" + inner(key) + "," + inner(value) + "]"));
    return "[" + entries + "]";
  },
  Set: (set, inner) => {
    var values: Any[] = [];
    set.forEach((value: Any) => values.push(value));
    return list(values, inner);
  },
  ArrayBuffer: (buffer) => binary(new Uint8Array(buffer)),
};

/** Values that are shared or contain themselves, and those of them that have been read. */
interface Graph {
  values: Any[];
  shells: Any[];
}

/** The things that a reader needs besides the body of the tagged object. */
interface Place {
  inner: Inner<Any>;
  graph: Graph | undefined;
  /** Learns of a container before its contents are read. */
  keep<Container>(container: Container): Container;
}

/** The value of parsed JSON, whose arrays and objects become those of the value. */
export function read(json: Any, graph?: Graph, keep?: (container: Any) => void): Any {
  if (!json || typeof json !== "object") return json;
  var place: Place = {
    inner: (part) => read(part, graph),
    graph: graph,
    keep: (container) => (keep && keep(container), container),
  };
  var type = json.$type;
  if (String(Object.keys(json)) === "$type,value" && typeof type === "string" && has(READERS, type)) {
    try {
      return READERS[type]!(json.value, place);
    } catch (error) {
      return json;
    }
  }
  return fill(json, place);
}

function fill(container: Any, place: Place): Any {
  place.keep(container);
  Object.keys(container).forEach((key) => (container[key] = place.inner(container[key])));
  return container;
}

function bytesOf(base64: string): Uint8Array {
  var letters = atob(base64);
  var bytes = new Uint8Array(letters.length);
  for (var i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** The buffer of bytes, or of a body that says how far the buffer can grow. */
function bufferOf(body: Any, place: Place): ArrayBuffer {
  var source = place.inner(Array.isArray(body) ? body[0] : body);
  return source.buffer || source;
}

function readMap(entries: Any[], place: Place): Any {
  var map = place.keep(new Map());
  entries.forEach((entry) => map.set(place.inner(entry[0]), place.inner(entry[1])));
  return map;
}

var box = (body: Any, place: Place): Any => Object(place.inner(body));

var READERS: Record<string, (body: Any, place: Place) => Any> = {
  undefined: () => undefined,
  number: Number,
  binary: bytesOf,
  object: fill,
  map: readMap,
  Map: readMap,
  Date: (time) => new Date(time === null ? NaN : time),
  RegExp: (parts) => new RegExp(parts[0], parts[1]),
  BigInt: (digits) => BigInt(digits),
  Boolean: box,
  Number: box,
  String: box,
  Set: (values, place) => {
    var set = place.keep(new Set());
    values.forEach((value: Any) => set.add(place.inner(value)));
    return set;
  },
  Error: (fields, place) => {
    // As structured clone has it: no names but those of the language.
    var type = /^(Eval|Range|Reference|Syntax|Type|URI)Error$/.exec(fields.name) || ["Error"];
    return place.keep(new (window as Any)[type[0]!](fields.message));
  },
  SparseArray: (fields, place) => {
    var array: Any[] = place.keep([]);
    array.length = fields.length;
    fields.entries.forEach((entry: Any) => (array[entry[0]] = place.inner(entry[1])));
    return array;
  },
  Graph: (body) => read(body.root, { values: body.values, shells: [] }),
  Reference: (index, place) => {
    var graph = place.graph!;
    var shells = graph.shells;
    if (!(index in shells)) shells[index] = read(graph.values[index], graph, (shell) => (shells[index] = shell));
    return shells[index];
  },
  ArrayBuffer: bufferOf,
  TypedArray: (parts, place) =>
    new (window as Any)[/^(Big)?(Ui|I|Fl)\w+\d\w*Array$/.exec(parts[0])![0]](bufferOf(parts[1], place), parts[2] || 0, parts[3]),
};
