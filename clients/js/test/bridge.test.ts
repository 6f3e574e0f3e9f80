/** What the bridge needs of the place that it is used in; the rest is tried in a browser. */
import { expect, test } from "vitest";
import { Connection } from "../src/connection.js";

test("where there is no page there is no bridge, and that is said at once", () => {
  const connect = (): Connection => new Connection(new URL("http://127.0.0.1:1/"), { bridge: true });
  expect(connect).toThrow(expect.objectContaining({ name: "NotSupportedError", message: "a bridge needs a page" }));
});
