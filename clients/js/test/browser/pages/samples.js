// Values that the script for old browsers knows, sent from one machine and compared on another.
import { same } from "/clones.js";

function samples() {
  const shared = { name: "shared" };
  const cycle = { list: [] };
  cycle.list.push(cycle);
  const map = new Map();
  map.set("itself", map);
  return {
    plain: [null, true, "", "ü\u2028\0", "😀", 0, 1.5, -1e300, [], {}, [[1], { a: { b: [null] } }]],
    numbers: [-0, NaN, Infinity, -Infinity, 12345678901234567890n],
    objects: [{ $type: "Date", value: 1 }, { $type: 1 }, { ["__proto__"]: 1 }, [undefined, { a: undefined }]],
    dates: [new Date(0), new Date(1.5e12), new Date(NaN), /a\/[b"]/gi],
    boxed: [Object(1), Object(NaN), Object("text"), Object(false)],
    errors: [new Error("what"), new TypeError('"')],
    collections: [new Map([[{ key: 1 }, new Set([1, "2", new Map()])]]), new Set()],
    bytes: [
      new Uint8Array([0, 255, 62, 63]),
      new Uint8Array([1, 2, 3, 4]).slice(1, 3),
      new ArrayBuffer(3),
      new Float64Array([1.5, -0]),
    ],
    // What it can only read.
    graphs: [[shared, shared], cycle, map],
  };
}

const chosen = (without) =>
  Object.entries(samples()).flatMap(([name, group]) =>
    name === without ? [] : group.map((value, i) => [`${name}[${i}]`, value]),
  );

const received = [];
self.samples = {
  send(without) {
    for (const [, value] of chosen(without)) self.machine.channel().postMessage(value);
  },
  listen() {
    self.machine.channel().addEventListener("message", ({ data }) => received.push(data));
  },
  async failures(without) {
    const expected = chosen(without);
    const deadline = performance.now() + 15_000;
    while (received.length < expected.length && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const failures = received.length > expected.length ? ["too many"] : [];
    for (const [i, [path, value]] of expected.entries())
      await same(received[i], value, path).catch(({ message }) => failures.push(message));
    return failures;
  },
};
