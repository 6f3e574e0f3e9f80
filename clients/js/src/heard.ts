/** More messages than come twice from the broker, or wait in other tabs for it. */
export const REMEMBERED = 20_000;

/** Remembers that a message was heard, by its id, among so many at most; returns whether it was before. */
export function heardBefore(heard: Set<string>, id: string, most = REMEMBERED): boolean {
  const isOld = heard.has(id);
  heard.add(id);
  if (heard.size > most) heard.delete(heard.values().next().value!);
  return isOld;
}
