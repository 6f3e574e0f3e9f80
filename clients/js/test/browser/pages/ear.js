// What a machine of a test does with its channel, whatever made that: posts, and remembers what it heard.
const heard = [];
const states = [];

export const hear = ({ data }) => heard.push(data?.padding === undefined ? data : `${data.from} ${data.number}`);
export const note = (detail) => states.push({ ...detail, at: performance.now() });

export const within = async (patience, isSo) => {
  for (const deadline = performance.now() + patience; !isSo() && performance.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

export const machineWith = (channel, status) => {
  const matches = (wanted) => Object.entries(wanted).every(([name, value]) => status()[name] === value);
  return {
    async post(from, count, { first = 0, every = 0, padding = 0 } = {}) {
      for (let number = first; number < first + count; number++) {
        channel().postMessage({ from, number, padding: "x".repeat(padding) });
        if (every) await new Promise((resolve) => setTimeout(resolve, every));
      }
    },
    async heard(count, patience = 20_000) {
      await within(patience, () => heard.length >= count);
      // A copy too many would come now.
      await new Promise((resolve) => setTimeout(resolve, 200));
      return heard;
    },
    async until(wanted, patience = 20_000) {
      await within(patience, () => matches(wanted));
      if (!matches(wanted)) throw new Error(`it is ${JSON.stringify(status())}, not ${JSON.stringify(wanted)}`);
    },
    status,
    states: () => states,
    channel,
  };
};
