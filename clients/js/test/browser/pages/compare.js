// Compares all values of the structured-clone battery with what comes from another machine, in the same order.
import { same, values } from "/clones.js";

const open = () => new Widecast.WidecastChannel("values", { broker: self.machine.broker() });
const all = async (inAllEngines) =>
  Object.entries(await values(inAllEngines)).flatMap(([name, group]) => group.map((value, i) => [`${name}[${i}]`, value]));

let channel;
let compared;
self.compare = async (inAllEngines = false) => {
  const expected = await all(inAllEngines);
  const failures = [];
  channel = open();
  let done;
  compared = new Promise((resolve) => (done = () => resolve(failures)));
  let next = 0;
  let last = Promise.resolve();
  const arrived = (check) => {
    const [name, value] = expected[next++];
    last = last.then(() => check(name, value)).catch((error) => failures.push(`${name}: ${error.message}`));
    if (next === expected.length) last.then(done);
  };
  channel.onmessage = ({ data }) => arrived((name, value) => same(data, value, name));
  channel.onmessageerror = () => arrived((name) => failures.push(`${name}: messageerror`));
  await channel.ready;
};

self.failures = async () => {
  const late = new Promise((resolve) => setTimeout(resolve, 20_000, ["not all came"]));
  const failures = await Promise.race([compared, late]);
  channel.close();
  return failures;
};

self.sendAll = async (inAllEngines = false) => {
  const sender = open();
  const list = await all(inAllEngines);
  await Promise.all(list.map(([, value]) => sender.publish(value)));
  sender.close();
  return list.length;
};
