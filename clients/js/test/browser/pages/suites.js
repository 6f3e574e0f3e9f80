import { run } from "/battery.js";
import { battery, special } from "/clones.js";

/** What can be run in any context. */
export const suites = {
  battery: () => run(self.Channel),
  async clones() {
    const name = `clones ${Math.random()}`;
    const [from, to] = [new self.Channel(name), new self.Channel(name)];
    const failures = [...(await battery(from, to)), ...(await special(from, to))];
    from.close();
    to.close();
    return failures;
  },
};
