/** More messages than can be on their way twice: the posts of all tabs that wait for the broker. */
const REMEMBERED = 20_000;

/**
 * Remembers that a message was heard, by its id; returns whether it was before: one comes from another tab at once, and from the
 * broker when it gets there, in either order.
 */
export function heardBefore(heard: Set<string>, id: string): boolean {
  const isOld = heard.has(id);
  heard.add(id);
  if (heard.size > REMEMBERED) heard.delete(heard.values().next().value!);
  return isOld;
}
